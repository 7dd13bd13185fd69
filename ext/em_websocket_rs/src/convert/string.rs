//! Strings that an application sends, checked or made what the protocol needs.

use magnus::{
    encoding::{Coderange, EncodingCapable},
    kwargs,
    prelude::*,
    Error, RString, Ruby, TryConvert, Value,
};

use crate::{convert::error, raw::with_bytes};

/// A String that may be sent as text.
pub(crate) fn text(ruby: &Ruby, data: Value) -> Result<RString, Error> {
    let Some(string) = RString::from_value(data) else {
        // What is no String is none of these either: Ruby says so, by name.
        data.funcall::<_, _, Value>("encoding", ())?;
        data.funcall::<_, _, Value>("ascii_only?", ())?;
        return RString::try_convert(data);
    };
    if is_text(ruby, string) {
        return Ok(string);
    }
    let encoding: Value = string.funcall("encoding", ())?;
    let is_valid: bool = string.funcall("valid_encoding?", ())?;
    Err(error::web_socket(
        ruby,
        format!(
            "Data sent to WebSocket must be valid UTF-8 but was {encoding} (valid: {is_valid})"
        ),
    ))
}

/// A String that may be sent as bytes.
pub(crate) fn binary(data: Value) -> Result<RString, Error> {
    match RString::from_value(data) {
        Some(string) => Ok(string),
        None => {
            data.funcall::<_, _, Value>("bytesize", ())?;
            RString::try_convert(data)
        }
    }
}

/// True if a string may be sent as text: valid UTF-8, or ASCII in whatever encoding.
fn is_text(ruby: &Ruby, string: RString) -> bool {
    match string.enc_coderange_scan() {
        Coderange::SevenBit => true,
        Coderange::Valid => string.enc_get() == ruby.utf8_encindex(),
        _ => false,
    }
}

/// The reason that goes with a code; without one, as in drafts 75 to 05, nobody looks at it.
pub(crate) fn close_reason(ruby: &Ruby, code: Option<u16>, reason: Value) -> Result<String, Error> {
    code.map_or_else(|| Ok(String::new()), |_| reason_text(ruby, reason))
}

/// The reason of a close, as an application gives it, in UTF-8 (RFC 6455 section 5.5.1). A String
/// labelled ASCII-8BIT is taken by its bytes, one in another encoding is transcoded, and what has no
/// place in UTF-8 becomes U+FFFD: a close is no place to fail, and the text may be a client's. What
/// is no String is what em-websocket makes of it: a byte of an Integer, and a TypeError.
fn reason_text(ruby: &Ruby, reason: Value) -> Result<String, Error> {
    if reason.is_nil() {
        return Ok(String::new());
    }
    let reason = match RString::from_value(reason) {
        Some(string) => to_utf8(ruby, string)?,
        None => ruby.str_buf_new(1).funcall("<<", (reason,))?,
    };
    Ok(with_bytes(reason, |bytes| String::from_utf8_lossy(bytes).into_owned()))
}

/// Transcodes a string that is labelled as neither UTF-8 nor bytes, if Ruby can.
fn to_utf8(ruby: &Ruby, string: RString) -> Result<RString, Error> {
    let encoding = string.enc_get();
    if encoding == ruby.utf8_encindex() || encoding == ruby.ascii8bit_encindex() {
        return Ok(string);
    }
    let replace = ruby.to_symbol("replace");
    let options = kwargs!(ruby, "invalid" => replace, "undef" => replace);
    match string.funcall("encode", ("UTF-8", options)) {
        Err(error) if error.is_kind_of(ruby.exception_encoding_error()) => Ok(string),
        result => result,
    }
}
