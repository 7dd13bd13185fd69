//! `Native::Answer`, `Native.refusal` and `Native::Subprotocols`: what an application may say to an
//! opening handshake.

use std::{cell::RefCell, sync::Arc};

use em_websocket::{
    error::UsageError,
    protocol::handshake::{self, Refusal},
};
use magnus::{
    function, method, prelude::*, r_hash::ForEach, Error, Integer, RArray, RHash, RModule, RString,
    Ruby, Value,
};

use crate::{bytes, error};

/// `Native::Answer`: the answer to a handshake that was accepted, until it is sent.
#[magnus::wrap(class = "EventMachine::WebSocket::Native::Answer", free_immediately, size)]
pub(crate) struct Answer(RefCell<handshake::Answer>);

impl Answer {
    pub(crate) fn new(answer: handshake::Answer) -> Self {
        Self(RefCell::new(answer))
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.0.borrow().to_bytes()
    }

    fn protocol(ruby: &Ruby, this: &Self) -> Result<Option<RString>, Error> {
        let answer = this.0.borrow();
        answer.subprotocol().map(|name| bytes::text(ruby, name, None)).transpose()
    }

    fn select(&self, protocol: Option<RString>) {
        let mut answer = self.0.borrow_mut();
        match protocol {
            Some(name) => bytes::with_bytes(name, |name| answer.select(Some(name))),
            None => answer.select(None),
        }
    }

    fn add(ruby: &Ruby, this: &Self, headers: RHash) -> Result<(), Error> {
        each_field(ruby, headers, |name, value| this.0.borrow_mut().add_field(name, value))
    }

    fn to_s(ruby: &Ruby, this: &Self) -> Result<RString, Error> {
        bytes::binary(ruby, &this.to_bytes())
    }
}

/// The whole answer that refuses a handshake.
fn refusal(ruby: &Ruby, status: Integer, headers: RHash, body: RString) -> Result<RString, Error> {
    // What does not fit is no status either.
    let status = status.to_u16().unwrap_or_default();
    let mut refusal = Refusal::new(status).map_err(|error| error::usage(ruby, &error))?;
    each_field(ruby, headers, |name, value| refusal.add_field(name, value))?;
    bytes::binary(ruby, &bytes::with_bytes(body, |body| refusal.to_bytes(body)))
}

/// Names and values as Strings; an Array of values makes as many fields.
fn each_field(
    ruby: &Ruby,
    headers: RHash,
    mut field: impl FnMut(&str, &[u8]) -> Result<(), UsageError>,
) -> Result<(), Error> {
    headers.foreach(|name: Value, value: Value| {
        let name: RString = name.funcall("to_s", ())?;
        // Bytes that are not UTF-8 are no name either.
        let name = bytes::with_bytes(name, |name| String::from_utf8_lossy(name).into_owned());
        let values = RArray::from_value(value).unwrap_or(ruby.ary_new_from_values(&[value]));
        for value in values {
            let value: RString = value.funcall("to_s", ())?;
            bytes::with_bytes(value, |value| field(&name, value))
                .map_err(|error| error::usage(ruby, &error))?;
        }
        Ok(ForEach::Continue)
    })
}

/// `Native::Subprotocols`: what `:protocols` and `:protocols_required` ask for.
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
    native.define_module_function("refusal", function!(refusal, 3))?;

    let class = native.define_class("Answer", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("protocol", method!(Answer::protocol, 0))?;
    class.define_method("protocol=", method!(Answer::select, 1))?;
    class.define_method("add", method!(Answer::add, 1))?;
    class.define_method("to_s", method!(Answer::to_s, 0))?;

    let class = native.define_class("Subprotocols", ruby.class_object())?;
    class.define_singleton_method("new", function!(Subprotocols::new, 2))?;
    Ok(())
}
