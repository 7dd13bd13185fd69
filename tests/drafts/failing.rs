//! Failing the connection (RFC 6455 section 7.1.7): what goes out for each error.

use crate::support::{
    machine::{abrupt, Machine},
    Close, Draft, Kind, DRAFTS,
};
use em_websocket::{
    error::ProtocolError,
    protocol::{CloseAction, ReadyState},
};

/// Every error a peer can cause, its text and its close code.
fn errors() -> Vec<(ProtocolError, &'static str, u16)> {
    vec![
        (
            ProtocolError::FrameTooLong("10485761".into()),
            "Frame length too long (10485761 bytes)",
            1009,
        ),
        (ProtocolError::MessageTooLong(11), "Message length too long (11 bytes)", 1009),
        (ProtocolError::InvalidFrame, "Invalid frame received", 1002),
        (ProtocolError::UnexpectedContinuation, "Continuation frame not expected", 1002),
        (ProtocolError::ContinuationExpected, "Continuation frame expected", 1002),
        (ProtocolError::FragmentedControl, "Control frames must not be fragmented", 1002),
        (ProtocolError::ControlTooLong, "Control frames must not be longer than 125 bytes", 1002),
        (ProtocolError::UnknownOpcode(3), "Unknown opcode 3", 1002),
        (ProtocolError::ReservedBits, "Reserved bits must be 0", 1002),
        (ProtocolError::InvalidLength, "Invalid frame length", 1002),
        (ProtocolError::Unmasked, "Frames from the client must be masked", 1002),
        (ProtocolError::InvalidUtf8, "Invalid UTF8 data", 1007),
        (
            ProtocolError::ShortClose,
            "Close frames with a body must contain a 2 byte status code",
            1002,
        ),
        (ProtocolError::InvalidCloseCode(1005), "Invalid close code 1005", 1002),
        (ProtocolError::Internal("x".into()), "Internal error: x", 1011),
    ]
}

#[test]
fn each_error_goes_out_as_the_draft_says() {
    for draft in DRAFTS {
        for (error, text, code) in errors() {
            let mut machine = Machine::open(draft);
            machine.fail(&error);
            assert_eq!(error.to_string(), text);
            assert_eq!(error.close_code().0, code);
            let expected = draft.close_frames(Some(code), text);
            assert_eq!(machine.said(), expected, "draft {}: {text}", draft.version);
            // No acknowledgement is waited for.
            assert_eq!(machine.progress, CloseAction::AfterFlush);
            assert_eq!(machine.connection.poll_timeout(), None);
            let state = match draft.close {
                Close::Nothing => ReadyState::Connected,
                _ => ReadyState::Closing,
            };
            assert_eq!(machine.connection.ready_state(), state, "draft {}", draft.version);
            assert_eq!(machine.connection.closed(), abrupt());
            assert_eq!(machine.connection.ready_state(), ReadyState::Closed);
        }
    }
}

#[test]
fn a_long_text_is_cut_to_what_a_close_frame_can_carry() {
    for draft in DRAFTS.into_iter().filter(Draft::has_codes) {
        let mut machine = Machine::open(draft);
        machine.fail(&ProtocolError::Internal("x".repeat(1000)));
        let reason = format!("Internal error: {}", "x".repeat(107));
        assert_eq!(reason.len(), 123);
        assert_eq!(machine.said(), draft.close_frames(Some(1011), &reason));
    }
}

#[test]
fn an_error_behind_our_close_adds_no_second_close_frame() {
    for draft in Draft::with_opcodes() {
        let mut machine = Machine::open(draft);
        machine.close(Some(1000), "");
        machine.said();
        let error =
            machine.hear_error(&draft.encode(&crate::support::Frame {
                opcode: 0xf,
                ..draft.plain(Kind::Text, true, b"")
            }));
        machine.fail(&error);
        assert!(machine.said().is_empty(), "draft {}", draft.version);
        assert_eq!(machine.progress, CloseAction::AfterFlush);
        assert_eq!(machine.connection.poll_timeout(), None);
        assert_eq!(machine.connection.closed(), abrupt());
    }
}

#[test]
fn nothing_is_heard_behind_an_error() {
    for draft in DRAFTS {
        let mut machine = Machine::open(draft);
        let broken: &[u8] = match draft.sentinel {
            true => b"\x01",
            false => &draft.encode(&crate::support::Frame {
                opcode: 0xf,
                ..draft.plain(Kind::Text, true, b"")
            }),
        };
        let bytes =
            [&draft.frame(Kind::Text, b"before"), broken, &draft.frame(Kind::Text, b"behind")];
        assert_eq!(machine.hear(&bytes.concat()).len(), 2, "draft {}", draft.version);
        assert!(machine.hear(&draft.frame(Kind::Text, b"later")).is_empty());
    }
}
