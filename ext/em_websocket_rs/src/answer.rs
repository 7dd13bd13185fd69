//! `Native::Answer`: the answer to a handshake that was accepted, until it is sent.

use std::cell::RefCell;

use em_websocket::protocol::handshake;
use magnus::{method, prelude::*, Error, RHash, RModule, RString, Ruby};

use crate::{convert::fields::each_field, raw};

/// `Native::Answer`.
#[magnus::wrap(class = "EventMachine::WebSocket::Native::Answer", free_immediately, size)]
pub(crate) struct Answer(RefCell<handshake::Response>);

impl Answer {
    pub(crate) fn new(answer: handshake::Response) -> Self {
        Self(RefCell::new(answer))
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.0.borrow().to_bytes()
    }

    fn protocol(ruby: &Ruby, this: &Self) -> Result<Option<RString>, Error> {
        let answer = this.0.borrow();
        answer.subprotocol().map(|name| raw::text(ruby, name, None)).transpose()
    }

    fn select(&self, protocol: Option<RString>) {
        let mut answer = self.0.borrow_mut();
        match protocol {
            Some(name) => raw::with_bytes(name, |name| answer.select(Some(name))),
            None => answer.select(None),
        }
    }

    fn add(ruby: &Ruby, this: &Self, headers: RHash) -> Result<(), Error> {
        each_field(ruby, headers, |name, value| this.0.borrow_mut().add_field(name, value))
    }

    fn to_s(ruby: &Ruby, this: &Self) -> Result<RString, Error> {
        raw::binary(ruby, &this.to_bytes())
    }
}

pub(crate) fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Answer", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("protocol", method!(Answer::protocol, 0))?;
    class.define_method("protocol=", method!(Answer::select, 1))?;
    class.define_method("add", method!(Answer::add, 1))?;
    class.define_method("to_s", method!(Answer::to_s, 0))
}
