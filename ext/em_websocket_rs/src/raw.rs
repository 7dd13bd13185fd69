//! The extension's `unsafe` code: reading and making Ruby's Strings, calling a message's block, and
//! borrowing a descriptor of Ruby's.

#![allow(unsafe_code, reason = "it is in this file only")]

use std::{
    cell::Ref,
    ffi::c_long,
    io,
    os::fd::{BorrowedFd, OwnedFd, RawFd},
};

use em_websocket::{
    protocol::CodeRange,
    server::{Batch, MessageKind, Span},
};
use magnus::{
    rb_sys::{protect, AsRawId, AsRawValue, FromRawValue},
    value::{IntoId, LazyId, OpaqueId},
    Error, RObject, RString, Ruby, Value,
};
use rb_sys::{
    rb_funcallv, rb_ivar_get, rb_str_buf_new, rb_str_cat, rb_str_new, rb_utf8_encindex,
    ruby_coderange_type::{RUBY_ENC_CODERANGE_7BIT, RUBY_ENC_CODERANGE_VALID},
    ruby_encoding_consts::RUBY_ENCODING_SHIFT,
    Qfalse, Qnil, RBasic, VALUE,
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
/// Bytes that have been checked already come with a `code_range`.
///
/// # Errors
/// Ruby's, where it has no memory for it. It does not pass by the caller, who may hold what must be
/// let go of.
pub(crate) fn text(
    _: &Ruby,
    bytes: &[u8],
    code_range: Option<CodeRange>,
) -> Result<RString, Error> {
    // SAFETY: the closure has nothing to drop, and `protect` catches what Ruby raises.
    string(|| unsafe { new_text(bytes, code_range) })
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

/// Text as of [`text`], for a caller that protects more than that at once.
///
/// # Safety
/// Ruby may leave past the caller, up to the next `protect`: nothing on the way may have to be
/// dropped. This thread holds the GVL.
pub(crate) unsafe fn new_text(bytes: &[u8], code_range: Option<CodeRange>) -> VALUE {
    // SAFETY: the caller's.
    let string = unsafe { new_binary(bytes) };
    let range = match code_range.or_else(|| CodeRange::of(bytes)) {
        None => return string,
        Some(CodeRange::Ascii) => RUBY_ENC_CODERANGE_7BIT as VALUE,
        Some(CodeRange::Utf8) => RUBY_ENC_CODERANGE_VALID as VALUE,
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

/// Bytes as of [`binary`], for a caller that protects more than that at once.
///
/// # Safety
/// As [`new_text`].
pub(crate) unsafe fn new_binary(bytes: &[u8]) -> VALUE {
    // SAFETY: the bytes are there, and as many; the rest is the caller's.
    unsafe { rb_str_new(bytes.as_ptr().cast(), bytes.len() as c_long) }
}

/// Duplicate of a descriptor of Ruby's, which is closed where another program is run.
///
/// # Errors
/// The system's, where there is no such descriptor, or room for no other.
pub(crate) fn duplicate(_: &Ruby, fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: it is borrowed for one call, in which this thread holds the GVL, so that no thread of
    // Ruby's closes it. If there is none, the system says so, and nothing has been touched.
    unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()
}

static CALL: LazyId = LazyId::new("call");

/// Calls the block in a connection's instance variable with a message, if there is one: a Proc, a
/// Method, or whatever else can be called. The batch is dropped before.
///
/// It is what magnus does, but a message pays for one `rb_protect` instead of one for each step.
pub(crate) fn call_block(
    ruby: &Ruby,
    object: RObject,
    ivar: OpaqueId,
    kind: MessageKind,
    batch: Ref<'_, Batch>,
    span: Span,
) -> Result<(), Error> {
    let call = LazyId::get_inner_with(&CALL, ruby).as_raw();
    let ivar = ivar.into_id_with(ruby).as_raw();
    let object = object.as_raw();
    // Out here it is dropped too where Ruby has no memory for the String, and leaves the closure.
    let mut batch = Some(batch);
    protect(|| {
        // SAFETY: the values are of Ruby objects, which the caller's frame and this one keep alive,
        // and this thread holds the GVL, for it has a `Ruby`. What unwinds from here passes by no
        // destructor, and `protect` catches it.
        unsafe {
            let block = rb_ivar_get(object, ivar);
            let Some(bytes) = batch.as_ref().map(|batch| batch.bytes(span)) else { return block };
            if block == Qnil as VALUE || block == Qfalse as VALUE {
                return block;
            }
            let argument = match kind {
                MessageKind::Text => new_text(bytes, span.code_range()),
                MessageKind::Binary | MessageKind::Ping | MessageKind::Pong => new_binary(bytes),
            };
            batch = None;
            rb_funcallv(block, call, 1, &argument)
        }
    })
    .map(drop)
}
