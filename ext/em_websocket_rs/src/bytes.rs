//! Looking into Ruby strings, and making them: with `block.rs` the files here with `unsafe`.

use std::ffi::c_long;

use em_websocket::protocol::Charset;
use magnus::{
    encoding::{Coderange, EncodingCapable},
    kwargs,
    prelude::*,
    rb_sys::{protect, FromRawValue},
    Error, RString, Ruby, Value,
};
use rb_sys::{
    rb_str_buf_new, rb_str_cat, rb_str_new, rb_utf8_encindex,
    ruby_coderange_type::{RUBY_ENC_CODERANGE_7BIT, RUBY_ENC_CODERANGE_VALID},
    ruby_encoding_consts::RUBY_ENCODING_SHIFT,
    RBasic, VALUE,
};

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
/// Bytes that have been checked already come with a `charset`.
///
/// # Errors
/// Ruby's, where it has no memory for it. It does not pass by the caller, who may hold what must be
/// let go of.
pub(crate) fn text(_: &Ruby, bytes: &[u8], charset: Option<Charset>) -> Result<RString, Error> {
    // SAFETY: the closure has nothing to drop, and `protect` catches what Ruby raises.
    string(|| unsafe { new_text(bytes, charset) })
}

/// A String for anything else: ASCII-8BIT.
///
/// # Errors
/// As [`text`].
pub(crate) fn binary(_: &Ruby, bytes: &[u8]) -> Result<RString, Error> {
    // SAFETY: as in `text`.
    string(|| unsafe { new_binary(bytes) })
}

/// A String of a frame's parts.
///
/// # Errors
/// As [`text`].
pub(crate) fn frame(
    _: &Ruby,
    head: &[u8],
    payload: RString,
    tail: &[u8],
) -> Result<RString, Error> {
    let len = head.len() + payload.len() + tail.len();
    string(|| {
        // SAFETY: as in `text`. The payload is on the caller's stack and nothing runs that could
        // change it; the new String has room for all of it, so that it is made once.
        unsafe {
            let frame = rb_str_buf_new(len as c_long);
            for part in [head, payload.as_slice(), tail] {
                rb_str_cat(frame, part.as_ptr().cast(), part.len() as c_long);
            }
            frame
        }
    })
}

fn string(make: impl FnOnce() -> VALUE) -> Result<RString, Error> {
    let string = protect(make)?;
    // SAFETY: it is a String that has just been made, and it is on the stack.
    Ok(RString::from_value(unsafe { Value::from_raw(string) }).expect("it is a String"))
}

/// As [`text`], for whoever protects more than that at once.
///
/// # Safety
/// Ruby may leave past the caller, up to the next `protect`: nothing on the way may have to be
/// dropped. This thread holds the GVL.
pub(crate) unsafe fn new_text(bytes: &[u8], charset: Option<Charset>) -> VALUE {
    // SAFETY: the caller's.
    let string = unsafe { new_binary(bytes) };
    let range = match charset.or_else(|| Charset::of(bytes)) {
        None => return string,
        Some(Charset::Ascii) => RUBY_ENC_CODERANGE_7BIT as VALUE,
        Some(Charset::Utf8) => RUBY_ENC_CODERANGE_VALID as VALUE,
    };
    // Before Ruby 3.3, `rb_enc_str_new` asks so much about the encoding that it costs as much as a
    // small String itself.
    // SAFETY: this is what the macros `RB_ENCODING_SET_INLINED` and `RB_ENC_CODERANGE_SET` do, to a
    // String that is new and ASCII-8BIT (0), of no known range (0); UTF-8 is among the encodings whose
    // index fits into the flags. Every byte has been looked at, by the receiver or just now, and all
    // have been found to be of this range of UTF-8; none has been changed since.
    unsafe {
        let encoding = (rb_utf8_encindex() as VALUE) << (RUBY_ENCODING_SHIFT as u32);
        (*(string as *mut RBasic)).flags |= encoding | range;
    }
    string
}

/// As [`binary`], for whoever protects more than that at once.
///
/// # Safety
/// As [`new_text`].
pub(crate) unsafe fn new_binary(bytes: &[u8]) -> VALUE {
    // SAFETY: the bytes are there, and as many; the rest is the caller's.
    unsafe { rb_str_new(bytes.as_ptr().cast(), bytes.len() as c_long) }
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
