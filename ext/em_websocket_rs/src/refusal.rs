//! `Native.refusal`: the answer that refuses an opening handshake.

use em_websocket::protocol::handshake::Rejection;
use magnus::{function, Error, Integer, RHash, RModule, RString, Ruby};

use crate::{
    convert::{error, fields::each_field},
    raw,
};

/// The whole answer that refuses a handshake.
fn refusal(ruby: &Ruby, status: Integer, headers: RHash, body: RString) -> Result<RString, Error> {
    // What does not fit is no status either.
    let status = status.to_u16().unwrap_or_default();
    let mut refusal = Rejection::new(status).map_err(|error| error::usage(ruby, &error))?;
    each_field(ruby, headers, |name, value| refusal.add_field(name, value))?;
    raw::binary(ruby, &raw::with_bytes(body, |body| refusal.to_bytes(body)))
}

pub(crate) fn init(native: RModule) -> Result<(), Error> {
    native.define_module_function("refusal", function!(refusal, 3))
}
