//! The closing handshake, from both sides, and its time limit (RFC 6455 section 7).

use std::time::Duration;

use crate::support::{
    close_body,
    machine::{abrupt, clean, Machine, Seen, CLOSE_TIMEOUT},
    Close, Draft, Kind, Reply, DRAFTS,
};
use em_websocket::{
    error::ProtocolError,
    protocol::{CloseAction, ReadyState},
};

/// A close frame with this body comes while the connection is open.
struct PeerCloses {
    body: Vec<u8>,
    /// Code that is read out of it.
    code: Option<u16>,
    reason: &'static str,
    reply: Vec<u8>,
    /// Code and reason that `onclose` is told.
    told: (u16, &'static str),
}

#[track_caller]
fn assert_closed_by_peer(draft: Draft, case: &PeerCloses) {
    let mut machine = Machine::open(draft);
    let events = machine.hear(&draft.frame(Kind::Close, &case.body));
    let seen = Seen::Close(case.code, case.reason.into(), case.body.clone());
    assert_eq!(events, [seen], "draft {}", draft.version);
    let reply = [(Kind::Close, case.reply.clone())];
    assert_eq!(machine.said(), reply, "draft {}: {:x?}", draft.version, case.body);
    assert_eq!(machine.progress, CloseAction::AfterFlush);
    // em-websocket goes from :connected straight to :closed.
    assert_eq!(machine.connection.ready_state(), ReadyState::Connected);
    assert_eq!(machine.connection.poll_timeout(), None);
    let (code, reason) = case.told;
    assert_eq!(machine.connection.closed(), clean(code, reason), "draft {}", draft.version);
    assert_eq!(machine.connection.ready_state(), ReadyState::Closed);
}

#[test]
fn the_peer_closes_where_close_frames_have_no_code() {
    for draft in DRAFTS.into_iter().filter(|draft| draft.reply == Reply::Body) {
        for body in [Vec::new(), b"S".to_vec(), close_body(1000, "done"), vec![0xff; 200]] {
            assert_closed_by_peer(
                draft,
                &PeerCloses { reply: body.clone(), body, code: None, reason: "", told: (1005, "") },
            );
        }
    }
}

#[test]
fn the_peer_closes_where_close_frames_have_a_code() {
    let long = "é".repeat(61);
    let long: &'static str = long.leak();
    for draft in DRAFTS.into_iter().filter(Draft::has_codes) {
        let mut cases = vec![(1000, "done"), (1001, ""), (1003, "é€😀"), (1011, "x"), (1000, long)];
        cases.extend([1002, 1007, 1008, 1009, 1010, 1012, 1013, 1014].map(|code| (code, "")));
        cases.extend([3000, 3999, 4000, 4999].map(|code| (code, "")));
        for (code, reason) in cases {
            assert_closed_by_peer(
                draft,
                &PeerCloses {
                    body: close_body(code, reason),
                    code: Some(code),
                    reason,
                    // Without the reason, as em-websocket does.
                    reply: close_body(code, ""),
                    told: (code, reason),
                },
            );
        }
        assert_closed_by_peer(
            draft,
            &PeerCloses {
                body: Vec::new(),
                code: None,
                reason: "",
                reply: close_body(1000, ""),
                told: (1005, ""),
            },
        );
    }
}

#[test]
fn a_bad_close_body_breaks_a_rule_of_the_strict_drafts() {
    for draft in DRAFTS.into_iter().filter(|draft| draft.strict) {
        let mut cases = vec![
            (vec![0x03], ProtocolError::ShortClose, 1002),
            (b"\x03\xe8a\xff".to_vec(), ProtocolError::InvalidUtf8, 1007),
            (b"\x03\xe8\xe2\x82".to_vec(), ProtocolError::InvalidUtf8, 1007),
        ];
        let bad = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2999, 5000, 65_535];
        for code in bad {
            cases.push((close_body(code, ""), ProtocolError::InvalidCloseCode(code), 1002));
        }
        for (body, expected, code) in cases {
            let mut machine = Machine::open(draft);
            let error = machine.hear_error(&draft.frame(Kind::Close, &body));
            assert_eq!(error, expected, "draft {}", draft.version);
            assert_eq!(error.close_code().0, code);
            // It is no closing handshake.
            machine.fail(&error);
            assert_eq!(machine.connection.closed(), abrupt());
        }
    }
}

#[test]
fn a_bad_close_body_is_taken_as_it_comes_in_draft_06() {
    let draft = DRAFTS.into_iter().find(|draft| draft.version == 6).unwrap();
    for (body, code, reply) in
        [(close_body(1005, "x"), Some(1005), 1005), (b"\x03\xe8a\xff".to_vec(), Some(1000), 1000)]
    {
        assert_closed_by_peer(
            draft,
            &PeerCloses {
                body,
                code,
                reason: "",
                reply: close_body(reply, ""),
                told: (code.unwrap_or(1005), ""),
            },
        );
    }
    let error = Machine::open(draft).hear_error(&draft.frame(Kind::Close, &[0x03]));
    assert_eq!((error.close_code().0, error), (1002, ProtocolError::ShortClose));
}

#[test]
fn the_peer_closes_drafts_75_and_76() {
    for draft in DRAFTS.into_iter().filter(|draft| draft.sentinel) {
        let mut machine = Machine::open(draft);
        let events = machine.hear(b"\xff\x00\x00ignored\xff");
        assert_eq!(events, [Seen::Close(None, String::new(), Vec::new())]);
        assert_eq!(machine.said(), [(Kind::Close, Vec::new())]);
        assert_eq!(machine.progress, CloseAction::AfterFlush);
        assert_eq!(machine.connection.ready_state(), ReadyState::Closing);
        // Not clean, in em-websocket.
        assert_eq!(machine.connection.closed(), abrupt());
    }
}

#[test]
fn nothing_is_heard_behind_the_peers_close() {
    for draft in DRAFTS {
        let mut machine = Machine::open(draft);
        let bytes = [draft.frame(Kind::Close, b""), draft.frame(Kind::Text, b"late")].concat();
        assert_eq!(machine.hear(&bytes).len(), 1, "draft {}", draft.version);
        assert!(machine.receiver.is_done());
        assert!(machine.hear(&draft.frame(Kind::Text, b"later")).is_empty());
    }
}

/// Bodies that the peer may acknowledge with, and what `onclose` is told where codes exist.
fn acknowledgements() -> [(Vec<u8>, (u16, &'static str)); 4] {
    [
        (close_body(4001, "bye"), (4001, "bye")),
        (close_body(4001, ""), (4001, "")),
        (close_body(3999, "other"), (3999, "other")),
        (Vec::new(), (1005, "")),
    ]
}

#[test]
fn we_close_and_the_peer_acknowledges() {
    for draft in Draft::with_opcodes() {
        for (ack, (code, reason)) in acknowledgements() {
            let mut machine = Machine::open(draft);
            machine.close(Some(4001), "bye");
            assert_eq!(machine.said(), draft.close_frames(Some(4001), "bye"));
            assert_eq!(machine.progress, CloseAction::None);
            assert_eq!(machine.connection.ready_state(), ReadyState::Closing);

            machine.hear(&draft.frame(Kind::Close, &ack));
            assert!(machine.said().is_empty(), "draft {}: no second one", draft.version);
            assert_eq!(machine.progress, CloseAction::AfterFlush);
            assert_eq!(machine.connection.ready_state(), ReadyState::Closing);
            assert_eq!(machine.connection.poll_timeout(), None);
            let expected = match draft.has_codes() {
                true => clean(code, reason),
                false => clean(1005, ""),
            };
            assert_eq!(machine.connection.closed(), expected, "draft {}", draft.version);
        }
    }
}

#[test]
fn our_close_of_drafts_75_and_76_only_ends_tcp() {
    for draft in DRAFTS.into_iter().filter(|draft| draft.close == Close::Nothing) {
        let mut machine = Machine::open(draft);
        machine.close(Some(1000), "bye");
        assert!(machine.said().is_empty());
        assert_eq!(machine.progress, CloseAction::AfterFlush);
        assert_eq!(machine.connection.ready_state(), ReadyState::Connected);
        assert_eq!(machine.connection.poll_timeout(), None);
        assert_eq!(machine.connection.closed(), abrupt());
    }
}

#[test]
fn our_close_without_a_code_and_with_a_long_reason() {
    for draft in DRAFTS {
        let mut machine = Machine::open(draft);
        machine.close(None, "unsaid");
        assert_eq!(machine.said(), draft.close_frames(None, ""), "draft {}", draft.version);

        // 123 bytes is all that a close frame has for it: 61 times two, and never half a character.
        let mut machine = Machine::open(draft);
        machine.close(Some(1000), &"é".repeat(80));
        let said = draft.close_frames(Some(1000), &"é".repeat(61));
        assert_eq!(machine.said(), said, "draft {}", draft.version);
    }
}

#[test]
fn a_second_close_adds_nothing() {
    for draft in Draft::with_opcodes() {
        let mut machine = Machine::open(draft);
        machine.close(Some(1000), "");
        let deadline = machine.connection.poll_timeout();
        machine.said();
        machine.now += Duration::from_millis(10);
        machine.close(Some(3000), "again");
        assert!(machine.said().is_empty(), "draft {}", draft.version);
        assert_eq!(machine.connection.poll_timeout(), deadline);
    }
}

/// A close that the peer has sent already cannot be waited for.
#[test]
fn a_close_behind_the_peers_waits_for_nothing() {
    for draft in Draft::with_opcodes() {
        let mut machine = Machine::open(draft);
        machine.hear(&draft.frame(Kind::Close, b""));
        machine.said();
        machine.close(Some(1000), "");
        assert!(machine.said().is_empty(), "draft {}", draft.version);
        assert_eq!(machine.connection.poll_timeout(), None, "draft {}", draft.version);
        assert_eq!(machine.connection.closed(), clean(1005, ""), "draft {}", draft.version);
    }
}

#[test]
fn messages_and_pings_are_heard_while_our_close_is_on_its_way() {
    for draft in Draft::with_opcodes() {
        let mut machine = Machine::open(draft);
        machine.close(Some(1000), "");
        machine.said();
        let bytes = [draft.frame(Kind::Text, b"late"), draft.frame(Kind::Ping, b"?")].concat();
        let expected = [Seen::text("late"), Seen::Ping(b"?".to_vec())];
        assert_eq!(machine.hear(&bytes), expected, "draft {}", draft.version);
        assert_eq!(machine.said(), [(Kind::Pong, b"?".to_vec())], "draft {}", draft.version);
        assert_eq!(machine.connection.ready_state(), ReadyState::Closing);
    }
}

#[test]
fn a_close_that_nobody_acknowledges_times_out() {
    for draft in Draft::with_opcodes() {
        let mut machine = Machine::open(draft);
        assert_eq!(machine.connection.poll_timeout(), None);
        machine.close(Some(1000), "");
        machine.said();
        let deadline = machine.now + CLOSE_TIMEOUT;
        assert_eq!(machine.connection.poll_timeout(), Some(deadline));
        let early = deadline - Duration::from_nanos(1);
        assert_eq!(machine.connection.handle_timeout(early), None);

        let error = machine.connection.handle_timeout(deadline).unwrap();
        let text = "Close handshake un-acked after 0.1s, closing tcp connection";
        assert_eq!(error.to_string(), text);
        assert_eq!(error.close_code().0, 1002);
        assert_eq!(machine.connection.handle_timeout(deadline), None, "told once");
        assert_eq!(machine.connection.ready_state(), ReadyState::Closing);
        machine.fail(&error);
        assert_eq!(machine.progress, CloseAction::Abort);
        assert!(machine.said().is_empty());
        assert_eq!(machine.connection.closed(), abrupt());
        assert_eq!(machine.connection.poll_timeout(), None);
    }
}

#[test]
fn the_limit_is_told_as_it_was_given() {
    for (seconds, text) in [(60.0, "60s"), (0.25, "0.25s"), (1.5, "1.5s"), (0.0, "0s")] {
        let mut machine = Machine::open(DRAFTS[9]);
        machine.connection.set_close_timeout(Duration::from_secs_f64(seconds));
        machine.close(None, "");
        let deadline = machine.connection.poll_timeout().unwrap();
        assert_eq!(deadline, machine.now + Duration::from_secs_f64(seconds));
        let error = machine.connection.handle_timeout(deadline).unwrap();
        assert!(error.to_string().contains(&format!(" after {text}, ")), "{error}");
    }
    // A time beyond all clocks is never.
    let mut machine = Machine::open(DRAFTS[9]);
    machine.connection.set_close_timeout(Duration::MAX);
    machine.close(None, "");
    assert_eq!(machine.connection.poll_timeout(), None);
}
