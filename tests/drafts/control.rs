//! Pings and pongs.

use crate::support::{
    machine::{Machine, Seen},
    Draft, Kind, DRAFTS,
};
use em_websocket::error::UsageError;

#[test]
fn pings_are_answered_with_their_own_body() {
    for draft in Draft::with_opcodes() {
        let mut machine = Machine::open(draft);
        for len in [0, 1, 124, 125] {
            let body = vec![0x80 | len as u8; len];
            let events = machine.hear(&draft.frame(Kind::Ping, &body));
            assert_eq!(events, [Seen::Ping(body.clone())], "draft {}", draft.version);
            assert_eq!(machine.said(), [(Kind::Pong, body)], "draft {}", draft.version);
        }
    }
}

/// Those before draft 07 do not insist that a control frame is short.
#[test]
fn long_pings_are_answered_where_they_are_allowed() {
    for draft in Draft::with_opcodes().filter(|draft| !draft.strict) {
        let mut machine = Machine::open(draft);
        for len in [126, 70_000] {
            let body = vec![b'.'; len];
            machine.hear(&draft.frame(Kind::Ping, &body));
            assert!(machine.said() == [(Kind::Pong, body)], "draft {}: {len}", draft.version);
        }
    }
}

#[test]
fn pongs_are_reported_and_not_answered() {
    for draft in Draft::with_opcodes() {
        let mut machine = Machine::open(draft);
        for body in [&b""[..], b"\xff\x00", &[7; 125]] {
            let events = machine.hear(&draft.frame(Kind::Pong, body));
            assert_eq!(events, [Seen::Pong(body.to_vec())], "draft {}", draft.version);
        }
        assert!(machine.said().is_empty());
    }
}

#[test]
fn pings_and_pongs_are_sent_where_the_draft_has_them() {
    for draft in DRAFTS {
        let connection = Machine::open(draft).connection;
        for len in [0, 125] {
            let ping = connection.ping(len).unwrap();
            let pong = connection.pong(len).unwrap();
            assert_eq!(ping.is_none(), draft.sentinel);
            assert_eq!(pong.is_none(), draft.sentinel);
            let (Some(ping), Some(pong)) = (ping, pong) else {
                continue;
            };
            let body = vec![b'.'; len];
            for (kind, parts) in [(Kind::Ping, ping), (Kind::Pong, pong)] {
                let sent = draft.decode_all(&[parts.head(), &body].concat());
                assert_eq!(sent, [(kind, body.clone())], "draft {}", draft.version);
            }
        }
        if !draft.sentinel {
            assert_eq!(connection.ping(126), Err(UsageError::ControlTooLong(126)));
            assert_eq!(connection.pong(126), Err(UsageError::ControlTooLong(126)));
        }
    }
}
