//! Calling a connection's block with a message: with `bytes.rs` the files here with `unsafe`.

use magnus::{
    rb_sys::{protect, AsRawId, AsRawValue},
    value::{IntoId, LazyId, OpaqueId},
    Error, RObject, RString, Ruby,
};
use rb_sys::{rb_funcallv, rb_ivar_get, Qfalse, Qnil, VALUE};

static CALL: LazyId = LazyId::new("call");

/// Calls what an instance variable holds, if it holds anything: a Proc, a Method, or whatever else
/// can be called.
///
/// It is what magnus does, but a message pays for one `rb_protect` instead of one for each step.
pub(crate) fn call(
    ruby: &Ruby,
    object: RObject,
    ivar: OpaqueId,
    argument: RString,
) -> Result<(), Error> {
    let call = LazyId::get_inner_with(&CALL, ruby).as_raw();
    let ivar = ivar.into_id_with(ruby).as_raw();
    let (object, argument) = (object.as_raw(), argument.as_raw());
    protect(|| {
        // SAFETY: the values are of Ruby objects, which the caller's frame keeps alive, and this
        // thread holds the GVL, for it has a `Ruby`. What unwinds from here passes by no
        // destructor, and `protect` catches it.
        unsafe {
            let block = rb_ivar_get(object, ivar);
            if block == Qnil as VALUE || block == Qfalse as VALUE {
                return block;
            }
            rb_funcallv(block, call, 1, &argument)
        }
    })
    .map(drop)
}
