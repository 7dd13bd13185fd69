//! The opening handshake of every draft, and what is refused.

mod accepted;
mod admission;
mod cuts;
mod http;
mod limits;
mod plain;
mod refused;
mod requests;
mod rules;
mod versions;

use em_websocket::protocol::handshake::{Accepted, Handshake, Progress, Rejected, RequestLimits};

fn handshake() -> Handshake {
    Handshake::new(false, RequestLimits::default())
}

#[track_caller]
fn accepted(progress: Progress) -> Accepted {
    match progress {
        Progress::Accepted(accepted) => *accepted,
        other => panic!("not accepted: {other:?}"),
    }
}

#[track_caller]
fn refused(progress: Progress) -> Rejected {
    match progress {
        Progress::Rejected(refused) => *refused,
        other => panic!("not refused: {other:?}"),
    }
}

/// An answer, which is text.
fn answer_text(response: Option<Vec<u8>>) -> String {
    String::from_utf8(response.expect("an answer")).expect("answers are text")
}
