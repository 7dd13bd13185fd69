//! `Native.refusal`: the answer that refuses an opening handshake; `Native.http_head`: the header of
//! one to plain HTTP.

use em_websocket::protocol::handshake::{BodyLength, Rejection};
use magnus::{function, Error, Integer, RHash, RModule, RString, Ruby};

use crate::{
    convert::{error, fields::each_field},
    raw,
};

/// The whole answer that refuses a handshake.
fn refusal(ruby: &Ruby, status: Integer, headers: RHash, body: RString) -> Result<RString, Error> {
    let refusal = rejection(ruby, status, headers)?;
    raw::binary(ruby, &raw::with_bytes(body, |body| refusal.to_bytes(body)))
}

/// The header of a response whose body is this long, or, with nil, `chunked` or ends with the
/// connection.
fn http_head(
    ruby: &Ruby,
    status: Integer,
    headers: RHash,
    length: Option<usize>,
    chunked: bool,
) -> Result<RString, Error> {
    let length = match length {
        Some(length) => BodyLength::Bytes(length),
        None if chunked => BodyLength::Chunked,
        None => BodyLength::UntilClose,
    };
    raw::binary(ruby, &rejection(ruby, status, headers)?.head(length))
}

fn rejection(ruby: &Ruby, status: Integer, headers: RHash) -> Result<Rejection, Error> {
    // What does not fit is no status either.
    let status = status.to_u16().unwrap_or_default();
    let mut refusal = Rejection::new(status).map_err(|error| error::usage(ruby, &error))?;
    each_field(ruby, headers, |name, value| refusal.add_field(name, value))?;
    Ok(refusal)
}

pub(crate) fn init(native: RModule) -> Result<(), Error> {
    native.define_module_function("http_head", function!(http_head, 4))?;
    native.define_module_function("refusal", function!(refusal, 3))
}
