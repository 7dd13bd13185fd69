//! `Native::Deflate`: the compression that an opening handshake agreed to.

use em_websocket::protocol::deflate::{Config, Params};
use magnus::{prelude::*, Error, RModule, Ruby};

/// `Native::Deflate`: what was agreed to, and how it is configured here.
#[magnus::wrap(class = "EventMachine::WebSocket::Native::Deflate", free_immediately, size)]
pub(crate) struct Deflate(pub(crate) Params, pub(crate) Config);

pub(crate) fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Deflate", ruby.class_object())?;
    class.undef_default_alloc_func();
    Ok(())
}
