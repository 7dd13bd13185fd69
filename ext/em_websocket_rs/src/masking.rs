//! `Native.masked`: masking and unmasking bytes.

use em_websocket::protocol::apply_mask;
use magnus::{function, Error, RModule, RString, Ruby};

use crate::raw;

/// A copy of the bytes with the mask taken off, or put on: its first byte stands at `offset` of
/// the masked run.
fn masked(ruby: &Ruby, data: RString, key: RString, offset: usize) -> Result<RString, Error> {
    let key = raw::with_bytes(key, |key| key.first_chunk::<4>().copied())
        .ok_or_else(|| Error::new(ruby.exception_arg_error(), "a masking key has four bytes"))?;
    let mut data = raw::with_bytes(data, <[u8]>::to_vec);
    apply_mask(&mut data, key, offset);
    raw::binary(ruby, &data)
}

pub(crate) fn init(native: RModule) -> Result<(), Error> {
    native.define_module_function("masked", function!(masked, 3))
}
