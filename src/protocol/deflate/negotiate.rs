//! Negotiation: a client's offers in `Sec-WebSocket-Extensions`, and the answer.

use std::borrow::Cow;

use super::{
    Config, Params, CLIENT_MAX_WINDOW_BITS, CLIENT_NO_CONTEXT_TAKEOVER, MAX_WINDOW_BITS, NAME,
    SERVER_MAX_WINDOW_BITS, SERVER_NO_CONTEXT_TAKEOVER,
};
use crate::protocol::http_token::is_token_byte;

/// Takes the first offer of permessage-deflate that is valid: a client puts the one it likes best
/// first (RFC 7692 section 5), and whatever is valid can be done here. `None` where there is none;
/// the extension is then left unsaid, and the connection goes on without it.
///
/// `values` are those of every `Sec-WebSocket-Extensions` of the request, in order. An element that
/// breaks the grammar of RFC 6455 section 9.1 is passed over like the extensions that are not known
/// here, where the RFC would have the connection fail: a server without extensions never looks.
pub fn negotiate<'a>(
    values: impl IntoIterator<Item = &'a [u8]>,
    config: &Config,
) -> Option<Params> {
    let mut elements = values.into_iter().flat_map(|value| split(value, b','));
    elements.find_map(Offer::parse).map(|offer| offer.answer(config))
}

/// A valid offer.
#[derive(Default)]
struct Offer {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// `Some(None)` where it is offered without a value.
    client_max_window_bits: Option<Option<u8>>,
}

impl Offer {
    /// Reads one element of the header; `None` where it is another extension, or an offer that RFC
    /// 7692 section 7 has a server decline: with a parameter unknown, repeated, or of a wrong value.
    fn parse(element: &[u8]) -> Option<Self> {
        let mut parts = split(element, b';').map(<[u8]>::trim_ascii);
        if parts.next()? != NAME.as_bytes() {
            return None;
        }
        let mut offer = Self::default();
        for parameter in parts {
            let (name, value) = match parameter.iter().position(|byte| *byte == b'=') {
                Some(at) => (&parameter[..at], Some(unquote(parameter[at + 1..].trim_ascii())?)),
                None => (parameter, None),
            };
            let is = |known: &str| name.trim_ascii() == known.as_bytes();
            let is_new = match &value {
                None if is(SERVER_NO_CONTEXT_TAKEOVER) => {
                    !std::mem::replace(&mut offer.server_no_context_takeover, true)
                }
                None if is(CLIENT_NO_CONTEXT_TAKEOVER) => {
                    !std::mem::replace(&mut offer.client_no_context_takeover, true)
                }
                Some(value) if is(SERVER_MAX_WINDOW_BITS) => {
                    offer.server_max_window_bits.replace(window_bits(value)?).is_none()
                }
                value if is(CLIENT_MAX_WINDOW_BITS) => {
                    let bits = match value {
                        Some(value) => Some(window_bits(value)?),
                        None => None,
                    };
                    offer.client_max_window_bits.replace(bits).is_none()
                }
                _ => false,
            };
            if !is_new {
                return None;
            }
        }
        Some(offer)
    }

    fn answer(&self, config: &Config) -> Params {
        let own = config.window_bits();
        // "The same or smaller value" (section 7.1.2.1). A smaller one may be said unasked, but there
        // are clients that take it for a broken answer: it is used all the same (`Deflater::new`),
        // for a larger window inflates what a smaller one has made.
        let server_bits = self.server_max_window_bits.map(|bits| bits.min(own));
        // Only where the offer has it (section 7.1.2.2). 8 is asked of nobody who has not named it:
        // zlib makes no raw DEFLATE with it, and a client would fail the connection.
        let client_bits =
            self.client_max_window_bits.map(|hint| hint.unwrap_or(MAX_WINDOW_BITS).min(own.max(9)));
        Params {
            server_no_context_takeover: self.server_no_context_takeover || !config.context_takeover,
            // An offer with it says that the client can do without; taking it at its word saves
            // the memory of a context (section 7.1.1.2).
            client_no_context_takeover: self.client_no_context_takeover || !config.context_takeover,
            server_max_window_bits: server_bits,
            client_max_window_bits: client_bits.filter(|bits| *bits < MAX_WINDOW_BITS),
        }
    }
}

/// 8 to 15, "without leading zeroes" (RFC 7692 section 7.1.2).
fn window_bits(value: &[u8]) -> Option<u8> {
    (8..=MAX_WINDOW_BITS).find(|bits| bits.to_string().as_bytes() == value)
}

/// The parts of a list, cut at a separator that is not in a quoted string.
fn split(list: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    list.split(move |byte| {
        let was_escaped = std::mem::replace(&mut is_escaped, false);
        match byte {
            b'\\' if is_quoted && !was_escaped => is_escaped = true,
            b'"' if !was_escaped => is_quoted = !is_quoted,
            _ => {}
        }
        *byte == separator && !is_quoted
    })
}

/// A parameter's value: a token, or a quoted string that holds one (RFC 6455 section 9.1).
fn unquote(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let Some(quoted) = value.strip_prefix(b"\"") else {
        return is_token(value).then_some(Cow::Borrowed(value));
    };
    let mut token = Vec::new();
    let mut bytes = quoted.strip_suffix(b"\"")?.iter();
    while let Some(byte) = bytes.next() {
        token.push(match byte {
            b'\\' => *bytes.next()?,
            byte => *byte,
        });
    }
    is_token(&token).then_some(Cow::Owned(token))
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().copied().all(is_token_byte)
}
