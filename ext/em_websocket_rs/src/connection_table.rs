//! Table of a server's connections, by number: the core's handles, and the objects that Ruby has of
//! them.

use std::{cell::RefCell, mem};

use em_websocket::server::{slot, Handle, Slab};
use magnus::{gc, prelude::*, value::Opaque, Error, RArray, RObject, Ruby, Value};

/// Handles and objects of a server's connections.
pub(crate) struct ConnectionTable {
    handles: RefCell<Slab<Handle>>,
    /// An Array, so that the garbage collector need not walk the table each time.
    objects: Opaque<RArray>,
}

impl ConnectionTable {
    pub(crate) fn new(ruby: &Ruby) -> Self {
        Self { handles: RefCell::default(), objects: ruby.ary_new().into() }
    }

    pub(crate) fn mark(&self, marker: &gc::Marker) {
        marker.mark(self.objects);
    }

    pub(crate) fn len(&self) -> usize {
        self.handles.borrow().len()
    }

    /// Adds a connection, which has no object yet, and returns its number.
    pub(crate) fn insert(&self, ruby: &Ruby, handle: Handle) -> Result<u64, Error> {
        let number = self.handles.borrow_mut().insert(handle);
        ruby.get_inner(self.objects).store(slot(number) as isize, ruby.qnil())?;
        Ok(number)
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        self.handles.borrow().get(number).is_some()
    }

    /// Lends a connection's handle to `act`, which must not call Ruby.
    pub(crate) fn with_handle<R>(&self, number: u64, act: impl FnOnce(&Handle) -> R) -> Option<R> {
        self.handles.borrow().get(number).map(act)
    }

    /// Keeps a connection's object alive until the connection is removed. Does nothing if that has
    /// happened.
    pub(crate) fn adopt(&self, ruby: &Ruby, number: u64, object: RObject) -> Result<(), Error> {
        if !self.contains(number) {
            return Ok(());
        }
        ruby.get_inner(self.objects).store(slot(number) as isize, object)
    }

    /// Object of a connection that is in the table, if it has got one.
    pub(crate) fn object(&self, ruby: &Ruby, number: u64) -> Result<Option<RObject>, Error> {
        if !self.contains(number) {
            return Ok(None);
        }
        // Without the conversion to an object, which would have an error to make.
        let value: Value = ruby.get_inner(self.objects).entry(slot(number) as isize)?;
        Ok(RObject::from_value(value))
    }

    /// Objects of all connections.
    pub(crate) fn objects(&self, ruby: &Ruby) -> Result<RArray, Error> {
        ruby.get_inner(self.objects).funcall("compact", ())
    }

    /// Removes a connection. Does nothing if it is not there: a callback may have released
    /// everything, or forked.
    pub(crate) fn remove(&self, ruby: &Ruby, number: u64) -> Result<(), Error> {
        if self.handles.borrow_mut().remove(number).is_none() {
            return Ok(());
        }
        ruby.get_inner(self.objects).store(slot(number) as isize, ruby.qnil())
    }

    pub(crate) fn clear(&self, ruby: &Ruby) -> Result<(), Error> {
        self.handles.take();
        ruby.get_inner(self.objects).clear()
    }

    /// Empties it in a forked child, without dropping the handles, which are the parent's.
    pub(crate) fn abandon(&self) {
        mem::forget(self.handles.take());
    }
}
