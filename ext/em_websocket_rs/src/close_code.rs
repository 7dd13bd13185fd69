//! `Native.close_code?`: the codes that an application may close with.

use em_websocket::protocol::close::CloseCode;
use magnus::{function, Error, Integer, RModule, TryConvert, Value};

/// True if an application may close with this code: an Integer, or a number that is compared as
/// one.
fn may_be_used(code: Value) -> bool {
    let code = match Integer::from_value(code) {
        Some(code) => code.to_i64().ok(),
        None => f64::try_convert(code).ok().and_then(|code| {
            // As in a Range, 3000.5 is among those of applications, and 4999.5 is not.
            let is_code = code.fract() == 0.0 || (3000.0..4999.0).contains(&code);
            is_code.then_some(code as i64)
        }),
    };
    let code = code.and_then(|code| u16::try_from(code).ok());
    code.is_some_and(|code| CloseCode(code).may_be_used())
}

pub(crate) fn init(native: RModule) -> Result<(), Error> {
    native.define_module_function("close_code?", function!(may_be_used, 1))
}
