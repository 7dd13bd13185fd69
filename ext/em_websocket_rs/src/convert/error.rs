//! The core's errors as the exceptions that Ruby defines.

use std::{fmt::Display, io};

use em_websocket::{
    error::{HandshakeError, ProtocolError, UsageError},
    server::{tls::TlsError, BindError},
};
use magnus::{prelude::*, value::Lazy, Error, Exception, ExceptionClass, RModule, Ruby};

static WEB_SOCKET_ERROR: Lazy<ExceptionClass> = Lazy::new(|ruby| class(ruby, "WebSocketError"));
static HANDSHAKE_ERROR: Lazy<ExceptionClass> = Lazy::new(|ruby| class(ruby, "HandshakeError"));
static PROTOCOL_ERROR: Lazy<ExceptionClass> = Lazy::new(|ruby| class(ruby, "WSProtocolError"));
static INVALID_DATA: Lazy<ExceptionClass> = Lazy::new(|ruby| class(ruby, "InvalidDataError"));
static SUBSCRIPTION_LIMIT: Lazy<ExceptionClass> =
    Lazy::new(|ruby| class(ruby, "SubscriptionLimitError"));
static TOO_MANY: Lazy<ExceptionClass> = Lazy::new(|ruby| class(ruby, "WSMessageRateError"));
static TOO_BIG: Lazy<ExceptionClass> = Lazy::new(|ruby| class(ruby, "WSMessageTooBigError"));

fn class(ruby: &Ruby, name: &str) -> ExceptionClass {
    ruby.class_object()
        .const_get::<_, RModule>("EventMachine")
        .and_then(|module| module.const_get::<_, RModule>("WebSocket"))
        .and_then(|module| module.const_get(name))
        .expect("lib/em-websocket/errors.rb is loaded before the extension")
}

/// Finds the exceptions' classes before two threads can want the same one.
pub(crate) fn find_classes(ruby: &Ruby) {
    for class in [
        &WEB_SOCKET_ERROR,
        &HANDSHAKE_ERROR,
        &PROTOCOL_ERROR,
        &INVALID_DATA,
        &SUBSCRIPTION_LIMIT,
        &TOO_BIG,
        &TOO_MANY,
    ] {
        ruby.get_inner(class);
    }
}

/// Exception for what a caller may not do.
pub(crate) fn usage(ruby: &Ruby, error: &UsageError) -> Error {
    match error {
        // em-websocket raises a plain RuntimeError here.
        UsageError::CloseCode(_) => Error::new(ruby.exception_runtime_error(), error.to_string()),
        _ => web_socket(ruby, error.to_string()),
    }
}

/// A `WebSocketError` to raise.
pub(crate) fn web_socket(ruby: &Ruby, text: String) -> Error {
    Error::new(ruby.get_inner(&WEB_SOCKET_ERROR), text)
}

/// A subscription that would be one too many.
pub(crate) fn subscription_limit(ruby: &Ruby, text: String) -> Error {
    Error::new(ruby.get_inner(&SUBSCRIPTION_LIMIT), text)
}

/// A refused opening handshake, for `onerror`.
pub(crate) fn handshake(ruby: &Ruby, error: &HandshakeError) -> Result<Exception, Error> {
    ruby.get_inner(&HANDSHAKE_ERROR).new_instance((error.to_string(),))
}

/// A broken rule, for `onerror`.
pub(crate) fn protocol(ruby: &Ruby, error: &ProtocolError) -> Result<Exception, Error> {
    let class = match error {
        ProtocolError::InvalidUtf8 | ProtocolError::InvalidDeflate => &INVALID_DATA,
        ProtocolError::FrameTooLong(_) | ProtocolError::MessageTooLong(_) => &TOO_BIG,
        ProtocolError::TooManyMessages(_) => &TOO_MANY,
        ProtocolError::GivenUp | ProtocolError::Internal(_) => &WEB_SOCKET_ERROR,
        _ => &PROTOCOL_ERROR,
    };
    ruby.get_inner(class).new_instance((error.to_string(),))
}

/// The reason why a server cannot listen: the system's error (`Errno::EADDRINUSE`, ...), or a
/// `SocketError` for a name without an address.
pub(crate) fn bind(ruby: &Ruby, error: &BindError) -> Error {
    let (address, source) = match error {
        BindError::Address { address, source } => (address, source),
        BindError::Path { path, source } => return path_error(ruby, &path.display(), source),
        BindError::InTheWay(_) => return argument(ruby, &format!("unix: {error}: remove it")),
        BindError::Socket(_) => return argument(ruby, &format!("socket: {error}")),
        BindError::Threads(_) => {
            return Error::new(ruby.exception_runtime_error(), error.to_string());
        }
    };
    let Some(number) = source.raw_os_error() else {
        let text = format!("cannot listen on {address}: {source}: check the :host");
        return Error::new(class_or_runtime_error(ruby, "SocketError"), text);
    };
    // Ruby puts the system's own text first.
    let text = format!("cannot listen on {address}{}", listening_advice(source.kind()));
    system_call(ruby, &text, number)
}

/// The reason why no socket can be made at a path: the system's error.
fn path_error(ruby: &Ruby, path: &impl Display, source: &io::Error) -> Error {
    let advice = match source.kind() {
        io::ErrorKind::AddrInUse => ": end the other program that does, or choose another :unix",
        io::ErrorKind::NotFound => ": there is no such directory",
        _ => "",
    };
    let text = format!("cannot listen on {path}{advice}");
    match source.raw_os_error() {
        Some(number) => system_call(ruby, &text, number),
        None => argument(ruby, &format!("unix: {text}: {source}")),
    }
}

fn system_call(ruby: &Ruby, text: &str, number: i32) -> Error {
    match ruby.exception_system_call_error().new_instance((text, number)) {
        Ok(exception) => exception.into(),
        Err(error) => error,
    }
}

fn argument(ruby: &Ruby, text: &str) -> Error {
    Error::new(ruby.exception_arg_error(), text.to_owned())
}

/// A descriptor that cannot be had.
pub(crate) fn descriptor(ruby: &Ruby, source: &io::Error) -> Error {
    argument(ruby, &format!("socket: the descriptor cannot be had: {source}"))
}

fn class_or_runtime_error(ruby: &Ruby, name: &str) -> ExceptionClass {
    ruby.class_object().const_get(name).unwrap_or_else(|_| ruby.exception_runtime_error())
}

fn listening_advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => ": end the other program that does, or choose another :port",
        io::ErrorKind::AddrNotAvailable => ": no interface of this machine has this :host",
        io::ErrorKind::PermissionDenied => {
            ": ports below 1024 need root or CAP_NET_BIND_SERVICE: choose another :port"
        }
        _ => "",
    }
}

/// A `:tls_options` that cannot be served with. A missing file is EventMachine's own error.
pub(crate) fn tls(ruby: &Ruby, error: &TlsError) -> Error {
    let missing = || {
        ruby.class_object()
            .const_get::<_, RModule>("EventMachine")
            .and_then(|module| module.const_get("FileNotFoundException"))
            .ok()
    };
    let class = error.is_file_missing().then(missing).flatten();
    Error::new(class.unwrap_or_else(|| ruby.exception_arg_error()), error.to_string())
}
