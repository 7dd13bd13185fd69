//! `Native::Response`: the response to a handshake that was accepted, until it is sent.

use std::cell::RefCell;

use em_websocket::protocol::handshake;
use magnus::{method, prelude::*, Error, RHash, RModule, RString, Ruby};

use crate::{convert::fields::each_field, raw};

/// `Native::Response`.
#[magnus::wrap(class = "EventMachine::WebSocket::Native::Response", free_immediately, size)]
pub(crate) struct Response(RefCell<handshake::Response>);

impl Response {
    pub(crate) fn new(response: handshake::Response) -> Self {
        Self(RefCell::new(response))
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.0.borrow().to_bytes()
    }

    fn protocol(ruby: &Ruby, this: &Self) -> Result<Option<RString>, Error> {
        let response = this.0.borrow();
        response.subprotocol().map(|name| raw::text(ruby, name, None)).transpose()
    }

    fn select(&self, protocol: Option<RString>) {
        let mut response = self.0.borrow_mut();
        match protocol {
            Some(name) => raw::with_bytes(name, |name| response.select(Some(name))),
            None => response.select(None),
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
    let class = native.define_class("Response", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("protocol", method!(Response::protocol, 0))?;
    class.define_method("protocol=", method!(Response::select, 1))?;
    class.define_method("add", method!(Response::add, 1))?;
    class.define_method("to_s", method!(Response::to_s, 0))
}
