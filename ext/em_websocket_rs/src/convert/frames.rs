//! Received bytes as Ruby's messages: one reading for both that take bytes from Ruby.

use std::cell::RefCell;

use em_websocket::{
    error::ProtocolError,
    protocol::{close::CloseCode, CodeRange, Event, Limits, Opcode, Receiver},
};
use magnus::{Error, RString};

use crate::raw::with_bytes;

/// Bytes of memory that are kept for the next read: more than EventMachine reads at a time is not.
const MAX_SCRATCH: usize = 64 * 1024;

thread_local! {
    /// Memory in which bytes are unmasked, for their String stays as it is.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::default();
}

/// Last event of a connection: nothing comes behind it.
pub(crate) enum End {
    Close(Option<CloseCode>, Vec<u8>),
    Error(ProtocolError),
}

/// Calls `push` with each message that the bytes complete, and returns the end, if they hold one.
/// `push` must not call Ruby's methods, which could come back while the receiver is borrowed; what
/// the end becomes, the caller makes afterwards.
///
/// # Errors
/// The last that `push` has returned.
pub(crate) fn receive(
    receiver: &RefCell<Receiver>,
    data: RString,
    limits: Limits,
    mut push: impl FnMut(Opcode, &[u8], Option<CodeRange>) -> Result<(), Error>,
) -> Result<Option<End>, Error> {
    let mut input = SCRATCH.take();
    with_bytes(data, |data| input.extend_from_slice(data));
    let mut receiver = receiver.borrow_mut();
    receiver.set_limits(limits);
    let mut result = Ok(());
    let mut end = None;
    receiver.receive(&mut input, &mut |event: Event<'_>| {
        let pushed = match event {
            Event::Text(text, code_range) => push(Opcode::Text, &text, code_range),
            Event::Binary(body) => push(Opcode::Binary, &body, None),
            Event::Ping(body) => push(Opcode::Ping, &body, None),
            Event::Pong(body) => push(Opcode::Pong, &body, None),
            Event::Close(close) => return end = Some(End::Close(close.code, close.body.to_vec())),
            Event::Error(error) => return end = Some(End::Error(error)),
        };
        if let Err(error) = pushed {
            result = Err(error);
        }
    });
    if input.capacity() <= MAX_SCRATCH {
        input.clear();
        SCRATCH.set(input);
    }
    result.map(|()| end)
}
