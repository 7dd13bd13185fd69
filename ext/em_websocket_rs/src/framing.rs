//! `Native::Framing`: frames by themselves, for a class of the application's own that has no
//! connection of ours behind it.

use std::cell::RefCell;

use em_websocket::protocol::{
    version::{self, Profile, DRAFT_76},
    Limits, Opcode, PeerClose, Receiver, Sender,
};
use magnus::{function, method, prelude::*, Error, RArray, RHash, RModule, RString, Ruby, Value};

use crate::{
    convert::{
        error,
        frames::{self, End},
        options, symbols,
    },
    raw,
};

fn profile(ruby: &Ruby, draft: i64) -> Result<&'static Profile, Error> {
    version::frames(draft).ok_or_else(|| {
        Error::new(ruby.exception_arg_error(), format!("no frames of draft {draft}"))
    })
}

/// `Native::Framing`.
#[magnus::wrap(class = "EventMachine::WebSocket::Native::Framing", free_immediately, size)]
pub(crate) struct Framing(RefCell<Receiver>);

impl Framing {
    fn new(ruby: &Ruby, draft: i64) -> Result<Self, Error> {
        Ok(Self(RefCell::new(Receiver::new(profile(ruby, draft)?, Limits::default()))))
    }

    /// Events that the bytes complete, in order: `[type, body]`, ASCII-8BIT; `[:error, exception]`.
    fn receive(
        ruby: &Ruby,
        this: &Self,
        data: RString,
        max_frame_size: Value,
        max_message_size: Value,
    ) -> Result<RArray, Error> {
        let limits = Limits {
            frame: options::limit(max_frame_size)?,
            message: options::limit(max_message_size)?,
            ..Limits::default()
        };
        let messages = ruby.ary_new();
        let push = |opcode, body: &[u8]| {
            let body = raw::binary(ruby, body)?;
            messages.push((symbols::opcode(ruby, opcode), body))
        };
        match frames::receive(&this.0, data, limits, |opcode, body, _| push(opcode, body))? {
            None => {}
            Some(End::Close(_, body)) => push(Opcode::Close, &body)?,
            Some(End::Error(error)) => {
                let exception = error::protocol(ruby, &error)?;
                messages.push((symbols::error(ruby), exception))?;
            }
        }
        Ok(messages)
    }

    /// `{type => number}`.
    fn frame_types(ruby: &Ruby, draft: i64) -> Result<RHash, Error> {
        let opcodes = profile(ruby, draft)?.opcodes;
        let types = ruby.hash_new();
        for number in 0..0x10 {
            if let Some(opcode) = opcodes.decode(number) {
                types.aset(symbols::opcode(ruby, opcode), number)?;
            }
        }
        Ok(types)
    }
}

/// Bytes that end a connection of the drafts 75 and 76.
fn terminate(ruby: &Ruby) -> Result<RString, Error> {
    let mut bytes = Vec::new();
    Sender::new(&DRAFT_76).acknowledge(&PeerClose::new(None, &[]), &mut bytes);
    let string = raw::binary(ruby, &bytes)?;
    string.freeze();
    Ok(string)
}

pub(crate) fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    native.const_set("TERMINATE", terminate(ruby)?)?;
    let class = native.define_class("Framing", ruby.class_object())?;
    class.define_singleton_method("new", function!(Framing::new, 1))?;
    class.define_singleton_method("frame_types", function!(Framing::frame_types, 1))?;
    class.define_method("receive", method!(Framing::receive, 3))
}
