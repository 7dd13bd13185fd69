//! The opening handshake (RFC 6455 section 4.1), with a key whose answer is known.

use crate::Failure;

pub(crate) const REQUEST: &[u8] = b"GET /bench HTTP/1.1\r\n\
    Host: 127.0.0.1\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Origin: http://127.0.0.1\r\n\r\n";

/// The answer of RFC 6455 section 1.3 to its key.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Longer answers are none.
const LIMIT: usize = 8 * 1024;

/// An answer on its way.
#[derive(Debug, Default)]
pub(crate) struct Answer(Vec<u8>);

impl Answer {
    /// Takes bytes of the answer. Whether it is complete; a wrong one is an error, and so are bytes
    /// behind it: nobody has asked for any.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<bool, Failure> {
        self.0.extend_from_slice(bytes);
        if !self.0.ends_with(b"\r\n\r\n") {
            return if self.0.len() > LIMIT || self.0.windows(4).any(|end| end == b"\r\n\r\n") {
                Err(self.wrong())
            } else {
                Ok(false)
            };
        }
        let text = String::from_utf8_lossy(&self.0);
        if text.starts_with("HTTP/1.1 101 ") && text.contains(ACCEPT) {
            Ok(true)
        } else {
            Err(self.wrong())
        }
    }

    fn wrong(&self) -> Failure {
        format!("no 101 alone: {:?}", String::from_utf8_lossy(&self.0)).into()
    }
}
