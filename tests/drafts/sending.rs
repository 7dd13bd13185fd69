//! Sending, in every state a connection can be in.

use crate::support::{
    machine::{Machine, CLOSE_TIMEOUT},
    Draft, Kind, DRAFTS,
};
use em_websocket::{
    error::UsageError,
    protocol::{CloseAction, Connection, FrameParts, ReadyState},
};
use std::time::Instant;

type Sending = Result<Option<FrameParts>, UsageError>;

/// Nothing was wrong, and nothing is sent.
const NOWHERE: [Sending; 4] = [const { Ok(None) }; 4];

/// The outcomes of text, binary, ping and pong.
fn outcomes(connection: &Connection) -> [Sending; 4] {
    [connection.text(1), connection.binary(1), connection.ping(1), connection.pong(1)]
}

fn is_frame(sending: &Sending) -> bool {
    matches!(sending, Ok(Some(_)))
}

#[test]
fn before_the_opening_nothing_may_be_sent() {
    let mut connection = Connection::new(CLOSE_TIMEOUT);
    assert_eq!(connection.ready_state(), ReadyState::Handshake);
    assert_eq!(connection.profile(), None);
    let texts = outcomes(&connection).map(|sending| sending.unwrap_err().to_string());
    let expected = [
        "Cannot send data before onopen callback",
        "Cannot send binary before onopen callback",
        "Cannot ping before onopen callback",
        "Cannot pong before onopen callback",
    ];
    assert_eq!(texts, expected);

    let mut out = Vec::new();
    let progress = connection.close(None, "", Instant::now(), &mut out);
    assert_eq!((progress, out.len()), (CloseAction::Abort, 0));
}

#[test]
fn while_connected_everything_the_draft_has_may_be_sent() {
    for draft in DRAFTS {
        let machine = Machine::open(draft);
        let [text, binary, ping, pong] = outcomes(&machine.connection);
        assert!(is_frame(&text), "draft {}", draft.version);
        if draft.sentinel {
            let version = draft.profile().version;
            assert_eq!(binary, Err(UsageError::NoBinary(version)));
            assert_eq!((ping, pong), (Ok(None), Ok(None)));
        } else {
            assert!([binary, ping, pong].iter().all(is_frame), "draft {}", draft.version);
        }
    }
}

#[test]
fn behind_our_close_only_control_frames_may_be_sent() {
    for draft in Draft::with_opcodes() {
        let mut machine = Machine::open(draft);
        machine.close(Some(1000), "");
        let [text, binary, ping, pong] = outcomes(&machine.connection);
        assert_eq!(text, Err(UsageError::Closing), "draft {}", draft.version);
        assert_eq!(binary, Err(UsageError::Closing), "draft {}", draft.version);
        assert!(is_frame(&ping) && is_frame(&pong), "draft {}", draft.version);
        let text = "Cannot send data frame since connection is closing";
        assert_eq!(UsageError::Closing.to_string(), text);
    }
}

/// Messages that are sent now would never be read, which is no mistake of the application's.
#[test]
fn behind_the_peers_close_sends_go_nowhere() {
    for draft in DRAFTS {
        for ours_first in [false, true] {
            let mut machine = Machine::open(draft);
            if ours_first {
                machine.close(Some(1000), "");
            }
            machine.hear(&draft.frame(Kind::Close, b""));
            let sent = outcomes(&machine.connection);
            assert_eq!(sent, NOWHERE, "draft {}", draft.version);
        }
    }
}

#[test]
fn once_closed_sends_go_nowhere() {
    for draft in DRAFTS {
        let mut machine = Machine::open(draft);
        machine.connection.closed();
        assert_eq!(outcomes(&machine.connection), NOWHERE, "draft {}", draft.version);
        machine.close(Some(1000), "");
        assert_eq!(machine.progress, CloseAction::None);
        assert!(machine.said().is_empty());
        assert_eq!(machine.connection.ready_state(), ReadyState::Closed);
        assert_eq!(machine.connection.poll_timeout(), None);
    }
}

#[test]
fn a_connection_that_never_opened_may_be_closed() {
    let mut connection = Connection::new(CLOSE_TIMEOUT);
    connection.closed();
    assert_eq!(connection.ready_state(), ReadyState::Closed);
    assert_eq!(outcomes(&connection), NOWHERE);
    // And it opens no more.
    connection.open(DRAFTS[9].profile());
    assert_eq!(connection.ready_state(), ReadyState::Closed);
}

#[test]
fn a_connection_keeps_its_draft() {
    for draft in DRAFTS {
        let mut machine = Machine::open(draft);
        assert_eq!(machine.connection.profile(), Some(draft.profile()));
        machine.connection.closed();
        assert_eq!(machine.connection.profile(), Some(draft.profile()));
    }
}
