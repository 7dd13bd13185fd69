//! Response to an opening handshake that was accepted, while the application may still change it.

use super::response_writer::{check_field, ResponseWriter};
use crate::error::UsageError;
use crate::protocol::{deflate::Params, version::Opening};

/// Response that opens a WebSocket. [`to_bytes`](Self::to_bytes) is what to send.
#[derive(Debug)]
pub struct Response {
    /// The status line, and the fields before the subprotocol.
    head: Vec<u8>,
    /// Field that names the subprotocol; drafts that have none are silent.
    field: Option<&'static str>,
    subprotocol: Option<Box<[u8]>>,
    /// Further header fields.
    fields: Vec<u8>,
    body: Vec<u8>,
}

impl Response {
    pub(super) fn new(
        head: ResponseWriter,
        opening: Opening,
        subprotocol: Option<&[u8]>,
        deflate: Option<&Params>,
        body: &[u8],
    ) -> Self {
        let fields = match deflate {
            Some(agreed) => ResponseWriter::default()
                .field("Sec-WebSocket-Extensions", agreed.to_string().as_bytes())
                .into_bytes(),
            None => Vec::new(),
        };
        Self {
            head: head.into_bytes(),
            field: match opening {
                // em-websocket does not name one in draft 75.
                Opening::Echo => None,
                Opening::Challenge | Opening::Accept => Some("Sec-WebSocket-Protocol"),
            },
            subprotocol: subprotocol.map(Box::from),
            fields,
            body: body.to_vec(),
        }
    }

    /// The subprotocol that is selected.
    pub fn subprotocol(&self) -> Option<&[u8]> {
        self.subprotocol.as_deref()
    }

    /// Selects a subprotocol, or none. It must be one that the client has offered (RFC 6455 section
    /// 4.2.2), which is the caller's to see to.
    pub fn select(&mut self, subprotocol: Option<&[u8]>) {
        self.subprotocol = subprotocol.map(Box::from);
    }

    /// Adds a header field, a cookie for instance.
    ///
    /// # Errors
    /// [`UsageError::HeaderField`] if it is none (RFC 9110 section 5), or one that the opening
    /// handshake itself writes.
    pub fn add_field(&mut self, name: &str, value: &[u8]) -> Result<(), UsageError> {
        check_field(name, value)?;
        let is_ours = OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours));
        let prefix = name.get(.."sec-websocket-".len());
        if is_ours || prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case("sec-websocket-")) {
            return Err(UsageError::HeaderField(name.to_owned()));
        }
        let fields = std::mem::take(&mut self.fields);
        self.fields = ResponseWriter::from(fields).field(name, value).into_bytes();
        Ok(())
    }

    /// Response to send.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Room for all of it, so that nothing has to be moved.
        let selected = self.subprotocol.as_ref().map_or(0, |name| FIELD_ROOM + name.len());
        let room = self.head.len() + selected + self.fields.len() + self.body.len() + "\r\n".len();
        let mut head = Vec::with_capacity(room);
        head.extend_from_slice(&self.head);
        let mut response = ResponseWriter::from(head);
        if let (Some(field), Some(subprotocol)) = (self.field, &self.subprotocol) {
            response = response.field(field, subprotocol);
        }
        response.raw(&self.fields).end(&self.body)
    }
}

/// The fields that the opening handshake writes, and those that would say where its answer ends.
/// With them go all that begin like `Sec-WebSocket-`.
const OURS: [&str; 6] = [
    "upgrade",
    "connection",
    "content-length",
    "transfer-encoding",
    "websocket-origin",
    "websocket-location",
];

/// Room that a field needs beside its value, at most, here.
const FIELD_ROOM: usize = "Sec-WebSocket-Protocol: \r\n".len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_has_room_for_itself_and_no_more() {
        let head = || ResponseWriter::new("101 Switching Protocols").field("Upgrade", b"websocket");
        let mut answer = Response::new(head(), Opening::Accept, Some(b"chat"), None, b"");
        for _ in 0..2 {
            let bytes = answer.to_bytes();
            assert_eq!(bytes.capacity(), bytes.len(), "{:?}", bytes.escape_ascii().to_string());
            answer.add_field("Set-Cookie", b"a=b").unwrap();
        }
        answer.select(None);
        assert_eq!(answer.to_bytes().capacity(), answer.to_bytes().len());
    }
}
