//! The closing handshake: codes, and what a close frame says (RFC 6455 section 7).

pub use super::close_code::CloseCode;
use super::error::ProtocolError;

/// Close of a connection, as `onclose` tells it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CloseInfo {
    /// 1005 where the close frame had none, 1006 where there was no close frame.
    pub code: CloseCode,
    /// The peer's reason; `None` where there was no closing handshake.
    pub reason: Option<String>,
    /// True if the closing handshake was completed.
    pub was_clean: bool,
}

impl CloseInfo {
    /// The connection ended without a closing handshake.
    pub const fn abnormal() -> Self {
        Self { code: CloseCode::ABNORMAL, reason: None, was_clean: false }
    }
}

/// The body of a close frame that carries a code: `None` where it is empty.
pub(crate) fn parse(body: &[u8]) -> Result<Option<(CloseCode, &str)>, ProtocolError> {
    match body {
        [] => Ok(None),
        [_] => Err(ProtocolError::ShortClose),
        [high, low, reason @ ..] => {
            let code = CloseCode(u16::from_be_bytes([*high, *low]));
            if !code.may_be_received() {
                return Err(ProtocolError::InvalidCloseCode(code.0));
            }
            let reason =
                simdutf8::basic::from_utf8(reason).map_err(|_| ProtocolError::InvalidUtf8)?;
            Ok(Some((code, reason)))
        }
    }
}
