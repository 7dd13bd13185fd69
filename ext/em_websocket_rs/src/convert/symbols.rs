//! The protocol's states, kinds of messages and closes as Ruby's Symbols, names and Hashes.

use em_websocket::{
    protocol::{close::CloseInfo, Opcode, ReadyState},
    server::MessageKind,
};
use magnus::{
    symbol::IntoSymbol,
    value::{LazyId, OpaqueId},
    Error, RHash, Ruby, Symbol,
};

use crate::raw;

/// `{code:, reason:, was_clean:}`, without `:reason` where there was no closing handshake.
pub(crate) fn close_info(ruby: &Ruby, info: &CloseInfo) -> Result<RHash, Error> {
    static CODE: LazyId = LazyId::new("code");
    static REASON: LazyId = LazyId::new("reason");
    static WAS_CLEAN: LazyId = LazyId::new("was_clean");
    let hash = ruby.hash_new();
    hash.aset(*CODE, info.code.0)?;
    if let Some(reason) = &info.reason {
        hash.aset(*REASON, raw::text(ruby, reason.as_bytes(), None)?)?;
    }
    hash.aset(*WAS_CLEAN, info.was_clean)?;
    Ok(hash)
}

/// Symbol that `state` answers.
pub(crate) fn state(ruby: &Ruby, state: ReadyState) -> Symbol {
    static STATES: [LazyId; 4] = [
        LazyId::new("handshake"),
        LazyId::new("connected"),
        LazyId::new("closing"),
        LazyId::new("closed"),
    ];
    (*STATES[state as usize]).into_symbol_with(ruby)
}

/// The ivar that holds the block for a kind of message.
pub(crate) fn ivar(kind: MessageKind) -> OpaqueId {
    static IVARS: [LazyId; 4] = [
        LazyId::new("@onmessage"),
        LazyId::new("@onbinary"),
        LazyId::new("@onping"),
        LazyId::new("@onpong"),
    ];
    *IVARS[kind as usize]
}

/// The method that calls it.
pub(crate) fn trigger(kind: MessageKind) -> OpaqueId {
    static TRIGGERS: [LazyId; 4] = [
        LazyId::new("trigger_on_message"),
        LazyId::new("trigger_on_binary"),
        LazyId::new("trigger_on_ping"),
        LazyId::new("trigger_on_pong"),
    ];
    *TRIGGERS[kind as usize]
}

/// em-websocket's word for an opcode.
pub(crate) fn opcode(ruby: &Ruby, opcode: Opcode) -> Symbol {
    static CONTINUATION: LazyId = LazyId::new("continuation");
    static TEXT: LazyId = LazyId::new("text");
    static BINARY: LazyId = LazyId::new("binary");
    static CLOSE: LazyId = LazyId::new("close");
    static PING: LazyId = LazyId::new("ping");
    static PONG: LazyId = LazyId::new("pong");
    let name = match opcode {
        Opcode::Continuation => &CONTINUATION,
        Opcode::Text => &TEXT,
        Opcode::Binary => &BINARY,
        Opcode::Close => &CLOSE,
        Opcode::Ping => &PING,
        Opcode::Pong => &PONG,
    };
    (**name).into_symbol_with(ruby)
}

/// Kind of an event that is no frame: an error.
pub(crate) fn error(ruby: &Ruby) -> Symbol {
    static ERROR: LazyId = LazyId::new("error");
    (*ERROR).into_symbol_with(ruby)
}
