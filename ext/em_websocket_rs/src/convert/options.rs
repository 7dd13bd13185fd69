//! Values of option Hashes, and numbers as Ruby gives them.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf, time::Duration};

use magnus::{value::ReprValue, Error, Integer, RArray, RHash, RString, Ruby, TryConvert, Value};

use crate::raw;

/// A time that is as good as for ever.
pub(crate) const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A limit that is as good as none.
const MOST: usize = 1 << 53;

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
    switch(ruby, options, key).unwrap_or(default)
}

/// Option that may be on or off; `None` where it is nil.
pub(crate) fn switch(ruby: &Ruby, options: RHash, key: &str) -> Option<bool> {
    let value = options.get(ruby.to_symbol(key)).filter(|value: &Value| !value.is_nil());
    value.map(ReprValue::to_bool)
}

/// The bytes of a String, whatever its encoding.
pub(crate) fn text(ruby: &Ruby, options: RHash, key: &str) -> Result<Option<Vec<u8>>, Error> {
    let string = get::<RString>(ruby, options, key)?;
    Ok(string.map(|string| raw::with_bytes(string, <[u8]>::to_vec)))
}

/// A path: to the system it is bytes.
pub(crate) fn path(ruby: &Ruby, options: RHash, key: &str) -> Result<Option<PathBuf>, Error> {
    Ok(text(ruby, options, key)?.map(|bytes| PathBuf::from(OsString::from_vec(bytes))))
}

/// Names are ASCII; what is not is no name, and will be found out to be none.
pub(crate) fn name(ruby: &Ruby, options: RHash, key: &str) -> Result<Option<String>, Error> {
    Ok(text(ruby, options, key)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

pub(crate) fn names(ruby: &Ruby, options: RHash, key: &str) -> Result<Option<Vec<String>>, Error> {
    let Some(names) = get::<RArray>(ruby, options, key)? else { return Ok(None) };
    let name = |name| -> Result<String, Error> {
        let name = RString::try_convert(name)?;
        Ok(raw::with_bytes(name, |bytes| String::from_utf8_lossy(bytes).into_owned()))
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
