//! `Native::Compression`: what `:compression` asks for.

use em_websocket::protocol::deflate::Config;
use magnus::{function, prelude::*, Error, RHash, RModule, Ruby};

use crate::convert::options::{flag, get};

/// `Native::Compression`.
#[magnus::wrap(class = "EventMachine::WebSocket::Native::Compression", free_immediately, size)]
pub(crate) struct Compression(pub(crate) Config);

impl Compression {
    /// Makes one of some of the keys; a missing one has its default.
    fn new(ruby: &Ruby, options: RHash) -> Result<Self, Error> {
        let default = Config::default();
        Ok(Self(Config {
            level: get(ruby, options, "level")?.unwrap_or(default.level),
            window_bits: get(ruby, options, "window_bits")?.unwrap_or(default.window_bits),
            memory_level: get(ruby, options, "memory_level")?.unwrap_or(default.memory_level),
            threshold: get(ruby, options, "threshold")?.unwrap_or(default.threshold),
            context_takeover: flag(ruby, options, "context_takeover", default.context_takeover),
        }))
    }
}

pub(crate) fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Compression", ruby.class_object())?;
    class.define_singleton_method("new", function!(Compression::new, 1))
}
