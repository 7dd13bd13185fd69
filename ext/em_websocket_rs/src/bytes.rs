//! Looking into Ruby strings, and making them: with `block.rs` the files here with `unsafe`.

use em_websocket::protocol::Charset;
use magnus::{
    encoding::{Coderange, EncodingCapable},
    kwargs,
    prelude::*,
    rb_sys::AsRawValue,
    Error, RString, Ruby, Value,
};
use rb_sys::{rb_utf8_encindex, ruby_encoding_consts::RUBY_ENCODING_SHIFT, RBasic, VALUE};

/// Lends the bytes of a string to `look`, which must not call Ruby: every caller's closure is Rust
/// code that knows no Ruby value.
pub(crate) fn with_bytes<R>(string: RString, look: impl FnOnce(&[u8]) -> R) -> R {
    // SAFETY: this thread holds the GVL and `look` does not run Ruby, so nobody can change, move
    // or free the string's bytes before the borrow ends; `string` is on the stack, so that the
    // garbage collector sees it.
    look(unsafe { string.as_slice() })
}

/// A String of text from the network: UTF-8 where the bytes are that, and otherwise ASCII-8BIT, in
/// which every byte is a character. So an application can search and split whatever it is given.
/// What has been checked already has a `charset`.
pub(crate) fn text(ruby: &Ruby, bytes: &[u8], charset: Option<Charset>) -> RString {
    let string = ruby.str_from_slice(bytes);
    let Some(charset) = charset.or_else(|| Charset::of(bytes)) else {
        return string;
    };
    // Before Ruby 3.3, `rb_enc_str_new` asks so much about the encoding that it costs as much as a
    // small String itself.
    // SAFETY: this is what the macro `RB_ENCODING_SET_INLINED` does, to a String that is new and
    // ASCII-8BIT (0); UTF-8 is among the encodings whose index fits into the flags.
    unsafe {
        let encoding = (rb_utf8_encindex() as VALUE) << (RUBY_ENCODING_SHIFT as u32);
        (*(string.as_raw() as *mut RBasic)).flags |= encoding;
    }
    let range = match charset {
        Charset::Ascii => Coderange::SevenBit,
        Charset::Utf8 => Coderange::Valid,
    };
    // SAFETY: every byte has been looked at, by the receiver or just now, and all of them have been
    // found to be of this range of UTF-8; none has been changed since.
    unsafe { string.enc_coderange_set(range) };
    string
}

/// A String for anything else: ASCII-8BIT.
pub(crate) fn binary(ruby: &Ruby, bytes: &[u8]) -> RString {
    ruby.str_from_slice(bytes)
}

/// The reason of a close, as an application gives it, in UTF-8 (RFC 6455 section 5.5.1). A String
/// labelled ASCII-8BIT is taken by its bytes, one in another encoding is transcoded, and what has no
/// place in UTF-8 becomes U+FFFD: a close is no place to fail, and the text may be a client's. What
/// is no String is what em-websocket makes of it: a byte of an Integer, and a TypeError.
pub(crate) fn reason(ruby: &Ruby, reason: Value) -> Result<String, Error> {
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

/// Whether a string may be sent as text: valid UTF-8, or ASCII in whatever encoding.
pub(crate) fn is_text(ruby: &Ruby, string: RString) -> bool {
    match string.enc_coderange_scan() {
        Coderange::SevenBit => true,
        Coderange::Valid => string.enc_get() == ruby.utf8_encindex(),
        _ => false,
    }
}
