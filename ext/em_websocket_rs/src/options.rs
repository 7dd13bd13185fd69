//! `:tls_options`, read once.

use std::path::PathBuf;

use em_websocket::server::tls::{server_config, TlsOptions, TlsServer};
use magnus::{
    function, method, prelude::*, Error, RArray, RHash, RModule, Ruby, TryConvert, Value,
};

use crate::error;

/// `Native::TlsConfig`: a certificate and all that goes with it, ready to serve.
#[magnus::wrap(class = "EventMachine::WebSocket::Native::TlsConfig", free_immediately, size)]
pub(crate) struct TlsConfig(TlsServer);

impl TlsConfig {
    fn new(ruby: &Ruby, options: RHash) -> Result<Self, Error> {
        let options = TlsOptions {
            private_key_file: path(ruby, options, "private_key_file")?,
            cert_chain_file: path(ruby, options, "cert_chain_file")?,
            private_key: get(ruby, options, "private_key")?,
            cert: get(ruby, options, "cert")?,
            private_key_pass: get(ruby, options, "private_key_pass")?,
            verify_peer: truthy(ruby, options, "verify_peer"),
            fail_if_no_peer_cert: truthy(ruby, options, "fail_if_no_peer_cert"),
            cipher_list: get(ruby, options, "cipher_list")?,
            ecdh_curve: get(ruby, options, "ecdh_curve")?,
            dhparam: path(ruby, options, "dhparam")?,
            ssl_version: names(ruby, options, "ssl_version")?,
        };
        server_config(&options).map(Self).map_err(|error| error::tls(ruby, &error))
    }

    fn warnings(&self) -> Vec<String> {
        self.0.warnings.clone()
    }

    pub(crate) fn server(&self) -> &TlsServer {
        &self.0
    }
}

fn value(ruby: &Ruby, options: RHash, key: &str) -> Option<Value> {
    options.get(ruby.to_symbol(key)).filter(|value| !value.is_nil())
}

fn get<T: TryConvert>(ruby: &Ruby, options: RHash, key: &str) -> Result<Option<T>, Error> {
    value(ruby, options, key).map(T::try_convert).transpose()
}

/// A path as Ruby's own methods take it: a String, or anything with `to_path` or `to_s`.
fn path(ruby: &Ruby, options: RHash, key: &str) -> Result<Option<PathBuf>, Error> {
    let path = value(ruby, options, key).map(|path| path.funcall::<_, _, String>("to_s", ()));
    Ok(path.transpose()?.map(PathBuf::from))
}

fn truthy(ruby: &Ruby, options: RHash, key: &str) -> bool {
    value(ruby, options, key).is_some_and(|value| value.to_bool())
}

/// A name, or an Array of names, Strings or Symbols.
fn names(ruby: &Ruby, options: RHash, key: &str) -> Result<Option<Vec<String>>, Error> {
    let Some(value) = value(ruby, options, key) else {
        return Ok(None);
    };
    let values = match RArray::from_value(value) {
        Some(array) => array.into_iter().collect(),
        None => vec![value],
    };
    values.into_iter().map(|name| name.funcall("to_s", ())).collect::<Result<_, _>>().map(Some)
}

pub(crate) fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("TlsConfig", ruby.class_object())?;
    class.define_singleton_method("new", function!(TlsConfig::new, 1))?;
    class.define_method("warnings", method!(TlsConfig::warnings, 0))?;
    Ok(())
}
