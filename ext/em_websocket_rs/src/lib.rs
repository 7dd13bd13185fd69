//! The Ruby extension: `EventMachine::WebSocket::Native`, private to the library.
//!
//! It converts and decides nothing: what happens is the core's, who is told is Ruby's.

#![deny(unsafe_op_in_unsafe_fn)]
#![allow(missing_docs, reason = "there is no Rust interface here, only Ruby's")]

mod answer;
mod block;
mod broadcast;
mod bytes;
mod cork;
mod drain;
mod error;
mod event;
mod framing;
mod handle;
mod handshake;
mod options;
mod overrides;
mod protocol;
mod server;
mod settings;
mod stats;

use magnus::{Error, Module, RModule, Ruby, TypedData};

#[magnus::init(name = "em_websocket_rs")]
fn init(ruby: &Ruby) -> Result<(), Error> {
    let event_machine: RModule = ruby.class_object().const_get("EventMachine")?;
    let web_socket: RModule = event_machine.const_get("WebSocket")?;
    let native = web_socket.define_module("Native")?;
    answer::init(ruby, native)?;
    broadcast::init(native)?;
    framing::init(ruby, native)?;
    handle::init(ruby, native)?;
    handshake::init(ruby, native)?;
    options::init(ruby, native)?;
    overrides::init(native)?;
    protocol::init(ruby, native)?;
    server::init(ruby, native)?;
    settings::init(ruby, native)?;
    find_classes(ruby);
    Ok(())
}

/// Finds every class now that is kept once it has been found. To find one is to call Ruby, which may
/// let another thread go on; where that wanted the same class, it would wait for it for ever, and
/// keep this one from going on.
fn find_classes(ruby: &Ruby) {
    error::find_classes(ruby);
    cork::find_send_data(ruby);
    answer::Answer::class(ruby);
    answer::Subprotocols::class(ruby);
    framing::Framing::class(ruby);
    handle::Connection::class(ruby);
    handshake::Deflate::class(ruby);
    handshake::NativeHandshake::class(ruby);
    handshake::Request::class(ruby);
    options::Compression::class(ruby);
    options::TlsConfig::class(ruby);
    protocol::Protocol::class(ruby);
    server::Server::class(ruby);
    settings::Settings::class(ruby);
}
