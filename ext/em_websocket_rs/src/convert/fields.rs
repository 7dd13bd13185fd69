//! Header fields that an application gives.

use em_websocket::error::UsageError;
use magnus::{prelude::*, r_hash::ForEach, Error, RArray, RHash, RString, Ruby, Value};

use crate::{convert::error, raw::with_bytes};

/// Calls `field` with the name and the value of each, as Strings; an Array of values makes as many
/// fields.
pub(crate) fn each_field(
    ruby: &Ruby,
    headers: RHash,
    mut field: impl FnMut(&str, &[u8]) -> Result<(), UsageError>,
) -> Result<(), Error> {
    headers.foreach(|name: Value, value: Value| {
        let name: RString = name.funcall("to_s", ())?;
        // Bytes that are not UTF-8 are no name either.
        let name = with_bytes(name, |name| String::from_utf8_lossy(name).into_owned());
        let values = RArray::from_value(value).unwrap_or(ruby.ary_new_from_values(&[value]));
        for value in values {
            let value: RString = value.funcall("to_s", ())?;
            with_bytes(value, |value| field(&name, value))
                .map_err(|error| error::usage(ruby, &error))?;
        }
        Ok(ForEach::Continue)
    })
}
