//! `Native::Handshake` and `Native::Request`: the opening handshake, for bytes that pass through
//! Ruby, and what a client asked for.

use std::cell::RefCell;

use em_websocket::protocol::{
    deflate::{Agreed, Config},
    handshake::{Handshake, Progress, Request as Requested, FLASH_POLICY, HEALTHCHECK_RESPONSE},
};
use magnus::{
    function, method, prelude::*, typed_data::Obj, Error, RArray, RHash, RModule, RString, Ruby,
    Value,
};

use crate::{answer::Answer, bytes, error, settings::Settings};

/// `Native::Handshake`.
#[magnus::wrap(class = "EventMachine::WebSocket::Native::Handshake", free_immediately, size)]
pub(crate) struct NativeHandshake {
    handshake: RefCell<Handshake>,
    compression: Option<Config>,
}

impl NativeHandshake {
    fn new(secure: bool, strict: bool, settings: &Settings) -> Self {
        let options = &settings.connection;
        let compression = options.compression;
        let handshake = Handshake::new(secure, options.handshake)
            .compression(compression)
            .subprotocols(options.subprotocols.clone())
            .strict(strict)
            .versions(options.versions);
        Self { handshake: RefCell::new(handshake), compression }
    }

    /// nil while incomplete; `:healthcheck` or `:flash_policy`; `[Request, Answer, rest, Deflate or nil]`; or
    /// `[HandshakeError, response or nil]`.
    fn receive(ruby: &Ruby, this: Obj<Self>, data: RString) -> Result<Value, Error> {
        let progress = bytes::with_bytes(data, |data| this.handshake.borrow_mut().receive(data));
        match progress {
            Progress::Incomplete => Ok(ruby.qnil().as_value()),
            Progress::Healthcheck => Ok(ruby.to_symbol("healthcheck").as_value()),
            Progress::FlashPolicy => Ok(ruby.to_symbol("flash_policy").as_value()),
            Progress::Accepted(accepted) => {
                let result = ruby.ary_new_capa(4);
                let subprotocol = accepted.answer.subprotocol().map(Box::from);
                result.push(Request::new(accepted.request, subprotocol))?;
                result.push(Answer::new(accepted.answer))?;
                result.push(bytes::binary(ruby, &accepted.rest)?)?;
                let deflate = accepted.deflate.zip(this.compression);
                result
                    .push(deflate.map(|(agreed, config)| ruby.obj_wrap(Deflate(agreed, config))))?;
                Ok(result.as_value())
            }
            Progress::Refused(refused) => {
                let result = ruby.ary_new_capa(2);
                result.push(error::handshake(ruby, &refused.error)?)?;
                let response = refused.response.map(|response| bytes::binary(ruby, &response));
                result.push(response.transpose()?)?;
                Ok(result.as_value())
            }
        }
    }
}

/// `Native::Deflate`: that compression was agreed to, and how.
#[magnus::wrap(class = "EventMachine::WebSocket::Native::Deflate", free_immediately, size)]
pub(crate) struct Deflate(pub(crate) Agreed, pub(crate) Config);

/// `Native::Request`.
#[magnus::wrap(class = "EventMachine::WebSocket::Native::Request", free_immediately, size)]
pub(crate) struct Request(Requested, Option<Box<[u8]>>);

impl Request {
    /// What was asked for, and the subprotocol that was selected.
    pub(crate) fn new(request: Requested, subprotocol: Option<Box<[u8]>>) -> Self {
        Self(request, subprotocol)
    }

    fn path(ruby: &Ruby, this: &Self) -> Result<RString, Error> {
        bytes::text(ruby, this.0.path().as_bytes(), None)
    }

    fn query_string(ruby: &Ruby, this: &Self) -> Result<RString, Error> {
        bytes::text(ruby, this.0.query_string().as_bytes(), None)
    }

    fn query(ruby: &Ruby, this: &Self) -> Result<RHash, Error> {
        let text = |part: &str| bytes::text(ruby, part.as_bytes(), None);
        let hash = ruby.hash_new();
        for (name, value) in this.0.query() {
            hash.aset(text(name)?, value.map(text).transpose()?)?;
        }
        Ok(hash)
    }

    fn headers(ruby: &Ruby, this: &Self) -> Result<RHash, Error> {
        let hash = ruby.hash_new();
        for (name, value) in this.0.headers() {
            let name = bytes::text(ruby, name, None)?;
            let value = bytes::text(ruby, value, None)?.as_value();
            // A field that comes again makes an Array of its values.
            match hash.get(name) {
                None => hash.aset(name, value)?,
                Some(before) => match RArray::from_value(before) {
                    Some(values) => values.push(value)?,
                    None => hash.aset(name, ruby.ary_new_from_values(&[before, value]))?,
                },
            }
        }
        Ok(hash)
    }

    fn protocol(ruby: &Ruby, this: &Self) -> Result<Option<RString>, Error> {
        this.1.as_deref().map(|name| bytes::text(ruby, name, None)).transpose()
    }

    fn protocols(ruby: &Ruby, this: &Self) -> Result<RArray, Error> {
        let names = ruby.ary_new();
        for name in this.0.subprotocols() {
            names.push(bytes::text(ruby, name, None)?)?;
        }
        Ok(names)
    }

    fn origin(ruby: &Ruby, this: &Self) -> Result<Option<RString>, Error> {
        this.0.origin().map(|origin| bytes::text(ruby, origin, None)).transpose()
    }

    fn protocol_version(&self) -> Option<i64> {
        self.0.protocol_version()
    }

    fn is_secure(&self) -> bool {
        self.0.secure()
    }
}

fn fixed(ruby: &Ruby, bytes: &[u8]) -> Result<RString, Error> {
    let string = bytes::binary(ruby, bytes)?;
    string.freeze();
    Ok(string)
}

pub(crate) fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Handshake", ruby.class_object())?;
    class.define_singleton_method("new", function!(NativeHandshake::new, 3))?;
    class.define_method("receive", method!(NativeHandshake::receive, 1))?;

    let class = native.define_class("Deflate", ruby.class_object())?;
    class.undef_default_alloc_func();

    let class = native.define_class("Request", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("path", method!(Request::path, 0))?;
    class.define_method("query_string", method!(Request::query_string, 0))?;
    class.define_method("query", method!(Request::query, 0))?;
    class.define_method("headers", method!(Request::headers, 0))?;
    class.define_method("protocol", method!(Request::protocol, 0))?;
    class.define_method("protocols", method!(Request::protocols, 0))?;
    class.define_method("origin", method!(Request::origin, 0))?;
    class.define_method("protocol_version", method!(Request::protocol_version, 0))?;
    class.define_method("secure?", method!(Request::is_secure, 0))?;

    native.const_set("HEALTHCHECK_RESPONSE", fixed(ruby, HEALTHCHECK_RESPONSE)?)?;
    native.const_set("FLASH_POLICY", fixed(ruby, FLASH_POLICY)?)?;
    Ok(())
}
