//! `Native::Handshake`: the opening handshake, for bytes that pass through Ruby.

use std::{cell::RefCell, net::IpAddr};

use em_websocket::protocol::{
    deflate::Config,
    handshake::{self, Progress, FLASH_POLICY, HEALTHCHECK_RESPONSE},
};
use magnus::{function, method, prelude::*, typed_data::Obj, Error, RModule, RString, Ruby, Value};

use crate::{
    convert::error, deflate::Deflate, raw, request::Request, response::Response, settings::Settings,
};

/// `Native::Handshake`.
#[magnus::wrap(class = "EventMachine::WebSocket::Native::Handshake", free_immediately, size)]
pub(crate) struct Handshake {
    handshake: RefCell<handshake::Handshake>,
    compression: Option<Config>,
    peer: Option<IpAddr>,
}

impl Handshake {
    /// `peer` is where the request comes from, `"unix"` for a socket of Unix; nil where nobody knows.
    fn new(secure: bool, strict: bool, settings: &Settings, peer: Option<String>) -> Self {
        let options = &settings.connection;
        let is_unix = peer.as_deref() == Some("unix");
        let peer: Option<IpAddr> = peer.and_then(|peer| peer.parse().ok());
        let compression = options.compression;
        let handshake = handshake::Handshake::new(secure, options.handshake)
            .compression(compression)
            .subprotocols(options.subprotocols.clone())
            .strict(strict)
            .versions(options.versions);
        let handshake = if peer.is_some() || is_unix {
            handshake.trusted_proxies(options.trusted_proxies.as_ref(), peer)
        } else {
            handshake
        };
        Self { handshake: RefCell::new(handshake), compression, peer }
    }

    /// The client's address as trusted proxies say it is.
    fn client(&self) -> Option<String> {
        self.handshake.borrow().client().map(|address| address.to_string())
    }

    /// nil while incomplete; `:healthcheck` or `:flash_policy`; `[Request, Response, rest, Deflate or
    /// nil]`; or `[HandshakeError, response or nil]`.
    fn receive(ruby: &Ruby, this: Obj<Self>, data: RString) -> Result<Value, Error> {
        let progress = raw::with_bytes(data, |data| this.handshake.borrow_mut().receive(data));
        match progress {
            // Plain HTTP is not asked for here.
            Progress::Incomplete | Progress::Continue | Progress::Http(_) => {
                Ok(ruby.qnil().as_value())
            }
            Progress::Healthcheck => Ok(ruby.to_symbol("healthcheck").as_value()),
            Progress::FlashPolicy => Ok(ruby.to_symbol("flash_policy").as_value()),
            Progress::Accepted(accepted) => {
                let result = ruby.ary_new_capa(4);
                let subprotocol = accepted.response.subprotocol().map(Box::from);
                let remote_ip = this.handshake.borrow().client().or(this.peer);
                result.push(Request::new(accepted.request, subprotocol, remote_ip))?;
                result.push(Response::new(accepted.response))?;
                result.push(raw::binary(ruby, &accepted.rest)?)?;
                let deflate = accepted.deflate.zip(this.compression);
                result
                    .push(deflate.map(|(agreed, config)| ruby.obj_wrap(Deflate(agreed, config))))?;
                Ok(result.as_value())
            }
            Progress::Rejected(refused) => {
                let result = ruby.ary_new_capa(2);
                result.push(error::handshake(ruby, &refused.error)?)?;
                let response = refused.response.map(|response| raw::binary(ruby, &response));
                result.push(response.transpose()?)?;
                Ok(result.as_value())
            }
        }
    }
}

fn fixed(ruby: &Ruby, bytes: &[u8]) -> Result<RString, Error> {
    let string = raw::binary(ruby, bytes)?;
    string.freeze();
    Ok(string)
}

pub(crate) fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Handshake", ruby.class_object())?;
    class.define_singleton_method("new", function!(Handshake::new, 4))?;
    class.define_method("client", method!(Handshake::client, 0))?;
    class.define_method("receive", method!(Handshake::receive, 1))?;
    native.const_set("HEALTHCHECK_RESPONSE", fixed(ruby, HEALTHCHECK_RESPONSE)?)?;
    native.const_set("FLASH_POLICY", fixed(ruby, FLASH_POLICY)?)
}
