//! Calling a connection's block with a message: with `bytes.rs` the files here with `unsafe`.

use std::cell::Ref;

use em_websocket::server::{Batch, Kind, Span};
use magnus::{
    rb_sys::{protect, AsRawId, AsRawValue},
    value::{IntoId, LazyId},
    Error, RObject, Ruby,
};
use rb_sys::{rb_funcallv, rb_ivar_get, Qfalse, Qnil, VALUE};

use crate::{bytes, event};

static CALL: LazyId = LazyId::new("call");

/// Calls what an instance variable holds for messages of this kind, if it holds anything: a Proc, a
/// Method, or whatever else can be called. The batch is let go of before.
///
/// It is what magnus does, but a message pays for one `rb_protect` instead of one for each step.
pub(crate) fn call(
    ruby: &Ruby,
    object: RObject,
    kind: Kind,
    batch: Ref<'_, Batch>,
    span: Span,
) -> Result<(), Error> {
    let call = LazyId::get_inner_with(&CALL, ruby).as_raw();
    let ivar = event::ivar(kind).into_id_with(ruby).as_raw();
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
                Kind::Text => bytes::new_text(bytes, span.charset()),
                Kind::Binary | Kind::Ping | Kind::Pong => bytes::new_binary(bytes),
            };
            batch = None;
            rb_funcallv(block, call, 1, &argument)
        }
    })
    .map(drop)
}
