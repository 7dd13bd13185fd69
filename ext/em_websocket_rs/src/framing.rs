//! `Native::Framing`: frames by themselves, for a class of the application's own that has no
//! connection of ours behind it.

use std::cell::RefCell;

use em_websocket::{
    error::ProtocolError,
    protocol::{
        version::{self, Profile, DRAFT_76},
        Event, Limits, Opcode, PeerClose, Receiver, Sender,
    },
};
use magnus::{function, method, prelude::*, Error, RArray, RHash, RModule, RString, Ruby, Value};

use crate::{
    convert::{error, options},
    raw,
};

fn frames(ruby: &Ruby, draft: i64) -> Result<&'static Profile, Error> {
    version::frames(draft).ok_or_else(|| {
        Error::new(ruby.exception_arg_error(), format!("no frames of draft {draft}"))
    })
}

/// `Native::Framing`.
#[magnus::wrap(class = "EventMachine::WebSocket::Native::Framing", free_immediately, size)]
pub(crate) struct Framing(RefCell<Receiver>);

impl Framing {
    fn new(ruby: &Ruby, draft: i64) -> Result<Self, Error> {
        Ok(Self(RefCell::new(Receiver::new(frames(ruby, draft)?, Limits::default()))))
    }

    /// What the bytes complete, in order: `[type, body]`, ASCII-8BIT; `[:error, exception]`.
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
        let mut data = raw::with_bytes(data, <[u8]>::to_vec);
        let mut receiver = this.0.borrow_mut();
        receiver.set_limits(limits);
        // Ruby is not called while the receiver is borrowed: it may leave without giving it back.
        let mut frames = Vec::new();
        receiver.receive(&mut data, &mut |event: Event<'_>| {
            frames.push(match event {
                Event::Text(body, _) => Ok((Opcode::Text, body.to_vec())),
                Event::Binary(body) => Ok((Opcode::Binary, body.to_vec())),
                Event::Ping(body) => Ok((Opcode::Ping, body.to_vec())),
                Event::Pong(body) => Ok((Opcode::Pong, body.to_vec())),
                Event::Close(close) => Ok((Opcode::Close, close.body.to_vec())),
                Event::Error(error) => Err(error),
            });
        });
        drop(receiver);
        let messages = ruby.ary_new();
        for frame in frames {
            match frame {
                Ok((opcode, body)) => push(ruby, messages, opcode, &body)?,
                Err(error) => push_error(ruby, messages, &error)?,
            }
        }
        Ok(messages)
    }

    /// `{type => number}`.
    fn frame_types(ruby: &Ruby, draft: i64) -> Result<RHash, Error> {
        let opcodes = frames(ruby, draft)?.opcodes;
        let types = ruby.hash_new();
        for number in 0..0x10 {
            if let Some(opcode) = opcodes.decode(number) {
                types.aset(ruby.to_symbol(name(opcode)), number)?;
            }
        }
        Ok(types)
    }
}

fn push(ruby: &Ruby, messages: RArray, opcode: Opcode, body: &[u8]) -> Result<(), Error> {
    messages.push((ruby.to_symbol(name(opcode)), raw::binary(ruby, body)?))
}

fn push_error(ruby: &Ruby, messages: RArray, error: &ProtocolError) -> Result<(), Error> {
    messages.push((ruby.to_symbol("error"), error::protocol(ruby, error)?))
}

/// em-websocket's word for it.
fn name(opcode: Opcode) -> &'static str {
    match opcode {
        Opcode::Continuation => "continuation",
        Opcode::Text => "text",
        Opcode::Binary => "binary",
        Opcode::Close => "close",
        Opcode::Ping => "ping",
        Opcode::Pong => "pong",
    }
}

/// What ends a connection of the drafts 75 and 76.
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
