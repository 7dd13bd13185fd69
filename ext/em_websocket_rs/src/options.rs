//! `:tls_options` and `:compression`, which Ruby has checked, and numbers as Ruby gives them.

use std::{
    ffi::OsString,
    os::unix::{ffi::OsStringExt, fs::MetadataExt},
    path::PathBuf,
    time::Duration,
};

use em_websocket::{
    protocol::deflate::Config,
    server::tls::{server_config, TlsOptions, TlsServer},
};
use magnus::{
    function, method, prelude::*, value::ReprValue, Error, Integer, RArray, RHash, RModule,
    RString, Ruby, TryConvert, Value,
};

use crate::{bytes, error};

/// A time that is as good as for ever.
pub(crate) const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A limit that is as good as none.
const MOST: usize = 1 << 53;

/// `Native::TlsConfig`: a certificate and all that goes with it, ready to serve.
#[magnus::wrap(class = "EventMachine::WebSocket::Native::TlsConfig", free_immediately, size)]
pub(crate) struct TlsConfig {
    server: TlsServer,
    asks_for_certificate: bool,
}

impl TlsConfig {
    fn new(ruby: &Ruby, options: RHash) -> Result<Self, Error> {
        let options = TlsOptions {
            private_key_file: path(ruby, options, "private_key_file")?,
            cert_chain_file: path(ruby, options, "cert_chain_file")?,
            private_key: text(ruby, options, "private_key")?,
            cert: text(ruby, options, "cert")?,
            private_key_pass: text(ruby, options, "private_key_pass")?,
            verify_peer: truthy(ruby, options, "verify_peer"),
            fail_if_no_peer_cert: truthy(ruby, options, "fail_if_no_peer_cert"),
            cipher_list: name(ruby, options, "cipher_list")?,
            ecdh_curve: name(ruby, options, "ecdh_curve")?,
            dhparam: path(ruby, options, "dhparam")?,
            ssl_version: names(ruby, options, "ssl_version")?,
        };
        let server = server_config(&options).map_err(|error| error::tls(ruby, &error))?;
        Ok(Self { server, asks_for_certificate: options.verify_peer })
    }

    fn warnings(&self) -> Vec<String> {
        self.server.warnings.clone()
    }

    /// True if clients are asked for a certificate.
    pub(crate) fn verify_peer(&self) -> bool {
        self.asks_for_certificate
    }

    pub(crate) fn server(&self) -> &TlsServer {
        &self.server
    }
}

fn value(ruby: &Ruby, options: RHash, key: &str) -> Option<Value> {
    options.get(ruby.to_symbol(key)).filter(|value| value.to_bool())
}

/// An option that is given: neither nil nor false.
pub(crate) fn get<T: TryConvert>(
    ruby: &Ruby,
    options: RHash,
    key: &str,
) -> Result<Option<T>, Error> {
    value(ruby, options, key).map(T::try_convert).transpose()
}

pub(crate) fn truthy(ruby: &Ruby, options: RHash, key: &str) -> bool {
    value(ruby, options, key).is_some()
}

/// True unless the option is false; `default` where it is nil.
pub(crate) fn flag(ruby: &Ruby, options: RHash, key: &str, default: bool) -> bool {
    options
        .get(ruby.to_symbol(key))
        .filter(|value: &Value| !value.is_nil())
        .map_or(default, ReprValue::to_bool)
}

/// The bytes of a String, whatever its encoding.
fn text(ruby: &Ruby, options: RHash, key: &str) -> Result<Option<Vec<u8>>, Error> {
    let string = get::<RString>(ruby, options, key)?;
    Ok(string.map(|string| bytes::with_bytes(string, <[u8]>::to_vec)))
}

/// A path is bytes to the system.
fn path(ruby: &Ruby, options: RHash, key: &str) -> Result<Option<PathBuf>, Error> {
    Ok(text(ruby, options, key)?.map(|bytes| PathBuf::from(OsString::from_vec(bytes))))
}

/// Identity of a file: another one once it has been replaced or written anew, also where its time
/// of modification was kept. nil where there is no file.
fn file_identity(ruby: &Ruby, path: RString) -> Result<Option<RString>, Error> {
    let path = PathBuf::from(OsString::from_vec(bytes::with_bytes(path, <[u8]>::to_vec)));
    let Ok(file) = std::fs::metadata(path) else { return Ok(None) };
    let times = [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()];
    let numbers = [file.dev(), file.ino(), file.size()].into_iter().map(u64::to_ne_bytes);
    let identity: Vec<_> = numbers.chain(times.map(i64::to_ne_bytes)).collect();
    bytes::binary(ruby, &identity.concat()).map(Some)
}

/// Names are ASCII; what is not is no name, and will be found out to be none.
fn name(ruby: &Ruby, options: RHash, key: &str) -> Result<Option<String>, Error> {
    Ok(text(ruby, options, key)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

fn names(ruby: &Ruby, options: RHash, key: &str) -> Result<Option<Vec<String>>, Error> {
    let Some(names) = get::<RArray>(ruby, options, key)? else { return Ok(None) };
    let name = |name| -> Result<String, Error> {
        let name = RString::try_convert(name)?;
        Ok(bytes::with_bytes(name, |bytes| String::from_utf8_lossy(bytes).into_owned()))
    };
    names.into_iter().map(name).collect::<Result<_, _>>().map(Some)
}

/// A limit that is compared with a number of bytes: what is larger than any is none, and what is
/// negative is 0.
pub(crate) fn limit(value: Value) -> Result<usize, Error> {
    if let Some(number) = Integer::from_value(value) {
        if let Ok(number) = number.to_i64() {
            return Ok(usize::try_from(number).unwrap_or(0).min(MOST));
        }
    }
    // A conversion from a Float saturates.
    Ok((f64::try_convert(value)? as usize).min(MOST))
}

/// A time: as good as for ever where it is infinite, and none where it is negative.
pub(crate) fn duration(seconds: f64) -> Duration {
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) => duration.min(FOREVER),
        Err(_) if seconds > 0.0 => FOREVER,
        Err(_) => Duration::ZERO,
    }
}

/// `Native::Compression`: what `:compression` asks for.
#[magnus::wrap(class = "EventMachine::WebSocket::Native::Compression", free_immediately, size)]
pub(crate) struct Compression(pub(crate) Config);

impl Compression {
    /// Of some of the keys; what is missing is the default.
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
    let class = native.define_class("TlsConfig", ruby.class_object())?;
    class.define_singleton_method("new", function!(TlsConfig::new, 1))?;
    native.define_module_function("file_identity", function!(file_identity, 1))?;
    class.define_method("warnings", method!(TlsConfig::warnings, 0))?;
    class.define_method("verify_peer?", method!(TlsConfig::verify_peer, 0))?;

    let class = native.define_class("Compression", ruby.class_object())?;
    class.define_singleton_method("new", function!(Compression::new, 1))?;
    Ok(())
}
