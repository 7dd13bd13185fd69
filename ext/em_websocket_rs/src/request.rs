//! `Native::Request`: what a client asked for in its opening handshake.

use std::net::IpAddr;

use em_websocket::protocol::handshake;
use magnus::{method, prelude::*, Error, RArray, RHash, RModule, RString, Ruby};

use crate::raw;

/// `Native::Request`.
#[magnus::wrap(class = "EventMachine::WebSocket::Native::Request", free_immediately, size)]
pub(crate) struct Request(handshake::Request, Option<Box<[u8]>>, Option<IpAddr>);

impl Request {
    /// Request of an opening handshake, the subprotocol that was selected, and the client's address.
    pub(crate) fn new(
        request: handshake::Request,
        subprotocol: Option<Box<[u8]>>,
        remote_ip: Option<IpAddr>,
    ) -> Self {
        Self(request, subprotocol, remote_ip)
    }

    fn remote_ip(&self) -> Option<String> {
        self.2.map(|address| address.to_string())
    }

    fn request_method(ruby: &Ruby, this: &Self) -> Result<RString, Error> {
        raw::text(ruby, this.0.method().as_bytes(), None)
    }

    fn http_version(&self) -> &'static str {
        if self.0.is_http_1_1() {
            "HTTP/1.1"
        } else {
            "HTTP/1.0"
        }
    }

    fn path(ruby: &Ruby, this: &Self) -> Result<RString, Error> {
        raw::text(ruby, this.0.path().as_bytes(), None)
    }

    fn query_string(ruby: &Ruby, this: &Self) -> Result<RString, Error> {
        raw::text(ruby, this.0.query_string().as_bytes(), None)
    }

    fn query(ruby: &Ruby, this: &Self) -> Result<RHash, Error> {
        let text = |part: &str| raw::text(ruby, part.as_bytes(), None);
        let hash = ruby.hash_new();
        for (name, value) in this.0.query() {
            hash.aset(text(name)?, value.map(text).transpose()?)?;
        }
        Ok(hash)
    }

    fn headers(ruby: &Ruby, this: &Self) -> Result<RHash, Error> {
        let hash = ruby.hash_new();
        for (name, value) in this.0.headers() {
            let name = raw::text(ruby, name, None)?;
            let value = raw::text(ruby, value, None)?.as_value();
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
        this.1.as_deref().map(|name| raw::text(ruby, name, None)).transpose()
    }

    fn protocols(ruby: &Ruby, this: &Self) -> Result<RArray, Error> {
        let names = ruby.ary_new();
        for name in this.0.subprotocols() {
            names.push(raw::text(ruby, name, None)?)?;
        }
        Ok(names)
    }

    fn origin(ruby: &Ruby, this: &Self) -> Result<Option<RString>, Error> {
        this.0.origin().map(|origin| raw::text(ruby, origin, None)).transpose()
    }

    fn protocol_version(&self) -> Option<i64> {
        self.0.protocol_version()
    }

    fn is_secure(&self) -> bool {
        self.0.secure()
    }
}

pub(crate) fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Request", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("request_method", method!(Request::request_method, 0))?;
    class.define_method("http_version", method!(Request::http_version, 0))?;
    class.define_method("path", method!(Request::path, 0))?;
    class.define_method("query_string", method!(Request::query_string, 0))?;
    class.define_method("query", method!(Request::query, 0))?;
    class.define_method("headers", method!(Request::headers, 0))?;
    class.define_method("protocol", method!(Request::protocol, 0))?;
    class.define_method("protocols", method!(Request::protocols, 0))?;
    class.define_method("origin", method!(Request::origin, 0))?;
    class.define_method("protocol_version", method!(Request::protocol_version, 0))?;
    class.define_method("remote_ip", method!(Request::remote_ip, 0))?;
    class.define_method("secure?", method!(Request::is_secure, 0))
}
