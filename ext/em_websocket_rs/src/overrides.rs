//! Check whether an application may have made a hook of a connection its own: done so often that it
//! may cost next to nothing.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use magnus::{
    function, prelude::*, rb_sys::AsRawValue, value::Lazy, Error, RClass, RModule, RObject, Ruby,
    Symbol, Value,
};

/// True once something has come to the class of all connections.
static IS_CHANGED: AtomicBool = AtomicBool::new(false);

/// True once that may be a `trigger_on_...`, or an `unbind`.
static HAS_TRIGGERS: AtomicBool = AtomicBool::new(false);

static CONNECTION: Lazy<RClass> = Lazy::new(|ruby| {
    let find = || {
        let event_machine: RModule = ruby.class_object().const_get("EventMachine")?;
        let web_socket: RModule = event_machine.const_get("WebSocket")?;
        web_socket.const_get::<_, RClass>("Connection")
    };
    find().expect("nobody asks before it has been defined")
});

/// True if an object is of a class of its own, or of the application's.
fn is_special(ruby: &Ruby, object: RObject) -> bool {
    object.class().as_raw() != ruby.get_inner(&CONNECTION).as_raw()
}

/// True if a connection may have a `trigger_on_...` of the application's. Looked at with each
/// message, for it may get one at any time.
#[inline]
pub(crate) fn may_trigger(ruby: &Ruby, object: RObject) -> bool {
    HAS_TRIGGERS.load(Relaxed) || is_special(ruby, object)
}

/// True if a connection may have any hook of the application's.
fn may_override(ruby: &Ruby, object: RObject) -> bool {
    IS_CHANGED.load(Relaxed) || is_special(ruby, object)
}

fn change(has_triggers: bool) {
    IS_CHANGED.store(true, Relaxed);
    HAS_TRIGGERS.fetch_or(has_triggers, Relaxed);
}

/// Value of an instance variable, whatever methods the object has.
fn variable(object: RObject, name: Symbol) -> Result<Value, Error> {
    object.ivar_get(name)
}

pub(crate) fn init(native: RModule) -> Result<(), Error> {
    native.define_module_function("override?", function!(may_override, 1))?;
    native.define_module_function("variable", function!(variable, 2))?;
    native.define_module_function("overridden", function!(change, 1))
}
