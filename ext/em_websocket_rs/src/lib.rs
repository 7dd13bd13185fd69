//! The Ruby extension: `EventMachine::WebSocket::Native`, private to the library.
//!
//! It converts and decides nothing: what happens is the core's, who is told is Ruby's. A class has
//! a file of its name; so has a function of the module. Beneath them are [`convert`], and [`raw`],
//! the only file with `unsafe`.

#![deny(unsafe_code, unsafe_op_in_unsafe_fn)]
#![allow(missing_docs, reason = "there is no Rust interface here, only Ruby's")]

mod broadcast;
mod channels;
mod close_code;
mod compression;
mod connection;
mod connection_table;
mod convert;
mod deflate;
mod drain;
mod file_identity;
mod flush;
mod fork;
mod framing;
mod handshake;
mod mailbox;
mod masking;
mod overrides;
mod protocol;
#[cfg(feature = "redis")]
mod pubsub;
mod raw;
mod refusal;
mod request;
mod response;
mod server;
mod settings;
mod signature;
mod stats;
mod subprotocols;
mod tls_config;
mod transmission;
mod write_batch;

use magnus::{Error, Module, RModule, Ruby, TypedData};

#[magnus::init(name = "em_websocket_rs")]
fn init(ruby: &Ruby) -> Result<(), Error> {
    let event_machine: RModule = ruby.class_object().const_get("EventMachine")?;
    let web_socket: RModule = event_machine.const_get("WebSocket")?;
    let native = web_socket.define_module("Native")?;
    for init in [
        channels::init,
        compression::init,
        connection::init,
        deflate::init,
        framing::init,
        handshake::init,
        mailbox::init,
        protocol::init,
        request::init,
        response::init,
        server::init,
        settings::init,
        stats::init,
        subprotocols::init,
        tls_config::init,
    ] {
        init(ruby, native)?;
    }
    #[cfg(feature = "redis")]
    pubsub::init(native)?;
    for init in [
        broadcast::init,
        close_code::init,
        file_identity::init,
        fork::init,
        masking::init,
        overrides::init,
        refusal::init,
        transmission::init,
    ] {
        init(native)?;
    }
    find_classes(ruby);
    Ok(())
}

/// Finds every class now that is kept once it has been found. To find one is to call Ruby, which
/// may let another thread go on; where that wanted the same class, it would wait for it for ever,
/// and keep this one from going on.
fn find_classes(ruby: &Ruby) {
    convert::error::find_classes(ruby);
    write_batch::find_send_data(ruby);
    channels::Publication::class(ruby);
    compression::Compression::class(ruby);
    connection::Connection::class(ruby);
    deflate::Deflate::class(ruby);
    framing::Framing::class(ruby);
    handshake::Handshake::class(ruby);
    mailbox::Mailbox::class(ruby);
    protocol::Protocol::class(ruby);
    request::Request::class(ruby);
    response::Response::class(ruby);
    server::Server::class(ruby);
    settings::Settings::class(ruby);
    subprotocols::Subprotocols::class(ruby);
    tls_config::TlsConfig::class(ruby);
}
