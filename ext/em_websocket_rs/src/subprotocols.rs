//! `Native::Subprotocols`: what `:protocols` and `:protocols_required` ask for.

use std::sync::Arc;

use em_websocket::protocol::handshake;
use magnus::{function, prelude::*, Error, RModule, Ruby};

/// `Native::Subprotocols`.
#[magnus::wrap(class = "EventMachine::WebSocket::Native::Subprotocols", free_immediately, size)]
pub(crate) struct Subprotocols(pub(crate) handshake::Subprotocols);

impl Subprotocols {
    fn new(names: Option<Vec<String>>, required: bool) -> Self {
        let supported = names.map(|names| {
            names.into_iter().map(String::into_boxed_str).collect::<Arc<[Box<str>]>>()
        });
        Self(handshake::Subprotocols { supported, required })
    }
}

pub(crate) fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Subprotocols", ruby.class_object())?;
    class.define_singleton_method("new", function!(Subprotocols::new, 2))
}
