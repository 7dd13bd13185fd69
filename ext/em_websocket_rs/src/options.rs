//! `:tls_options` and `:compression`, read once.

use std::{ops::RangeInclusive, path::PathBuf};

use em_websocket::{
    protocol::deflate::Config,
    server::tls::{server_config, TlsOptions, TlsServer},
};
use magnus::{
    function, method, prelude::*, value::ReprValue, Error, RArray, RHash, RModule, Ruby,
    TryConvert, Value,
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
            private_key: get::<String>(ruby, options, "private_key")?.map(String::into_bytes),
            cert: get::<String>(ruby, options, "cert")?.map(String::into_bytes),
            private_key_pass: get::<String>(ruby, options, "private_key_pass")?.map(String::into_bytes),
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

pub(crate) fn get<T: TryConvert>(
    ruby: &Ruby,
    options: RHash,
    key: &str,
) -> Result<Option<T>, Error> {
    value(ruby, options, key).map(T::try_convert).transpose()
}

/// A path as Ruby's own methods take it: a String, or anything with `to_path` or `to_s`.
fn path(ruby: &Ruby, options: RHash, key: &str) -> Result<Option<PathBuf>, Error> {
    let path = value(ruby, options, key).map(|path| path.funcall::<_, _, String>("to_s", ()));
    Ok(path.transpose()?.map(PathBuf::from))
}

pub(crate) fn truthy(ruby: &Ruby, options: RHash, key: &str) -> bool {
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

/// `Native::Compression`: what `:compression` asks for.
#[magnus::wrap(class = "EventMachine::WebSocket::Native::Compression", free_immediately, size)]
pub(crate) struct Compression(pub(crate) Config);

impl Compression {
    /// Of `true`, or a Hash with some of the keys.
    fn new(ruby: &Ruby, option: Value) -> Result<Self, Error> {
        let mut config = Config::default();
        let Some(options) = RHash::from_value(option) else { return Ok(Self(config)) };
        let known = ["level", "threshold", "context_takeover", "window_bits", "memory_level"];
        for key in options.funcall::<_, _, RArray>("keys", ())? {
            let key: String = key.funcall("to_s", ())?;
            if !known.contains(&key.as_str()) {
                return Err(argument(ruby, format!("compression: unknown key {key:?}")));
            }
        }
        config.level = number(ruby, options, "level", 0..=9)?.unwrap_or(config.level);
        config.window_bits =
            number(ruby, options, "window_bits", 8..=15)?.unwrap_or(config.window_bits);
        config.memory_level =
            number(ruby, options, "memory_level", 1..=9)?.unwrap_or(config.memory_level);
        config.threshold = get(ruby, options, "threshold")?.unwrap_or(config.threshold);
        let takeover: Option<Value> = options.get(ruby.to_symbol("context_takeover"));
        config.context_takeover = takeover.map_or(config.context_takeover, ReprValue::to_bool);
        Ok(Self(config))
    }
}

fn number(
    ruby: &Ruby,
    options: RHash,
    key: &str,
    range: RangeInclusive<u8>,
) -> Result<Option<u8>, Error> {
    let Some(number) = get::<i64>(ruby, options, key)? else { return Ok(None) };
    match u8::try_from(number) {
        Ok(number) if range.contains(&number) => Ok(Some(number)),
        _ => Err(argument(
            ruby,
            format!("compression: {key} is {number}, not {} to {}", range.start(), range.end()),
        )),
    }
}

pub(crate) fn argument(ruby: &Ruby, text: String) -> Error {
    Error::new(ruby.exception_arg_error(), text)
}

pub(crate) fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("TlsConfig", ruby.class_object())?;
    class.define_singleton_method("new", function!(TlsConfig::new, 1))?;
    class.define_method("warnings", method!(TlsConfig::warnings, 0))?;

    let class = native.define_class("Compression", ruby.class_object())?;
    class.define_singleton_method("new", function!(Compression::new, 1))?;
    Ok(())
}
