//! Selection of a subprotocol (RFC 6455 sections 1.9 and 4.2.2).

use std::sync::Arc;

use super::request::Request;
use crate::error::HandshakeError;

/// Subprotocols that this side speaks.
#[derive(Clone, Debug, Default)]
pub struct Subprotocols {
    /// Names, the preferred one first; `None`: whatever the client prefers.
    pub supported: Option<Arc<[Box<str>]>>,
    /// True if a client without any of them is refused. By default it goes on without a
    /// subprotocol.
    pub required: bool,
}

impl Subprotocols {
    /// The subprotocol to go on with.
    pub(super) fn select<'a>(
        &self,
        request: &'a Request,
    ) -> Result<Option<&'a [u8]>, HandshakeError> {
        if request.subprotocols().next().is_none() && request.offers_subprotocols() {
            return Err(HandshakeError::EmptyProtocol);
        }
        let selected = match &self.supported {
            None => request.subprotocols().next(),
            Some(names) => names.iter().find_map(|name| {
                request.subprotocols().find(|offered| *offered == name.as_bytes())
            }),
        };
        if self.required && selected.is_none() {
            return Err(HandshakeError::NoSubprotocol);
        }
        Ok(selected)
    }
}
