//! Frames that are sent while one read is delivered, gathered so that EventMachine is called once.

use std::cell::RefCell;

use em_websocket::protocol::FrameParts;
use magnus::{prelude::*, value::Lazy, Error, RString, Ruby, Value};

use crate::raw;

/// Number of gathered bytes past which they are handed over before anything is added.
const MUCH: usize = 64 * 1024;

/// A payload of this length is not copied once more to save a call.
pub(crate) const LARGE: usize = 16 * 1024;

thread_local! {
    /// Memory of the last batch.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::default();
}

/// EventMachine's function that takes bytes for a connection, as a Method.
static SEND_DATA: Lazy<Value> = Lazy::new(|ruby| {
    ["EventMachine", "WebSocket", "Native"]
        .iter()
        .try_fold(ruby.class_object().as_value(), |module, name| {
            module.funcall::<_, _, Value>("const_get", (*name,))
        })
        .and_then(|native| native.funcall("const_get", ("SEND_DATA",)))
        .expect("lib/em-websocket/native.rb defines it before it loads the extension")
});

/// Finds the function before two threads can want it.
pub(crate) fn find_send_data(ruby: &Ruby) {
    ruby.get_inner(&SEND_DATA);
}

/// Frames that are gathered for one call of EventMachine's, while a batch is on.
#[derive(Default)]
pub(crate) struct WriteBatch(RefCell<Option<Gathered>>);

struct Gathered {
    /// EventMachine's number of the connection.
    signature: i64,
    frames: Vec<u8>,
}

impl WriteBatch {
    pub(crate) fn begin(&self, signature: i64) {
        let frames = SCRATCH.take();
        *self.0.borrow_mut() = Some(Gathered { signature, frames });
    }

    /// Hands over what was gathered, and gathers no more.
    pub(crate) fn end(&self, ruby: &Ruby) -> Result<(), Error> {
        let result = self.flush(ruby);
        if let Some(Gathered { frames, .. }) = self.0.take() {
            SCRATCH.set(frames);
        }
        result
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.borrow().is_some()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.borrow().as_ref().is_some_and(|gathered| gathered.frames.len() >= MUCH)
    }

    /// Gathers the frame that `make` appends, and says how long it is.
    pub(crate) fn gather(&self, ruby: &Ruby, make: impl FnOnce(&mut Vec<u8>)) -> Option<Value> {
        let mut batch = self.0.borrow_mut();
        let Some(Gathered { frames, .. }) = &mut *batch else { return None };
        let before = frames.len();
        make(frames);
        Some(ruby.into_value(frames.len() - before))
    }

    /// Hands over what was gathered. No other Ruby thread can come between the frames and the call:
    /// it is made from here, and EventMachine's function is not written in Ruby.
    pub(crate) fn flush(&self, ruby: &Ruby) -> Result<(), Error> {
        let (signature, frames) = match &mut *self.0.borrow_mut() {
            Some(Gathered { signature, frames }) if !frames.is_empty() => {
                let string = raw::binary(ruby, frames)?;
                frames.clear();
                (*signature, string)
            }
            _ => return Ok(()),
        };
        ruby.get_inner(&SEND_DATA)
            .funcall::<_, _, Value>("call", (signature, frames, frames.len()))
            .map(drop)
    }
}

/// Appends a frame.
pub(crate) fn put(frames: &mut Vec<u8>, parts: &FrameParts, payload: RString) {
    frames.extend_from_slice(parts.head());
    raw::with_bytes(payload, |payload| frames.extend_from_slice(payload));
    frames.extend_from_slice(parts.tail());
}
