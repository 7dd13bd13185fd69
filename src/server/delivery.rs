//! Deliveries: what happens on a server's connections, as the queue's owner is told of it.

use std::net::IpAddr;

use super::{incoming::Incoming, owner::Owner};
use crate::{
    error::ProtocolError,
    protocol::{
        close::CloseCode,
        handshake::{HttpRequest, Rejected, Request, Response},
        version::Profile,
        CodeRange,
    },
};

/// One thing that happened.
#[derive(Debug)]
pub struct Record {
    /// Connection, by the number it was [started](super::Server::start) with; of no meaning for
    /// [`Delivery::Accepted`].
    pub connection: u64,
    /// Event that happened.
    pub delivery: Delivery,
}

/// Event that happened.
#[derive(Debug)]
pub enum Delivery {
    /// A connection was accepted and waits for [`Server::start`](super::Server::start).
    Accepted(Owner, Box<Incoming>),
    /// TLS is established. Nothing is read until [`Owner::secured`].
    TlsEstablished,
    /// The opening handshake is accepted. Nothing is read before [`Owner::open`], and what that
    /// returns has been dropped.
    Open(Box<Opened>),
    /// The opening handshake was refused; [`Owner::reject`] answers.
    Rejected(Box<Rejected>),
    /// No opening handshake, but what the application answers itself
    /// ([`ConnectionOptions::reports_plain_http`](super::ConnectionOptions::reports_plain_http)).
    NonWebSocket(NonWebSocket),
    /// Plain HTTP ([`ConnectionOptions::http_body`](super::ConnectionOptions::http_body)):
    /// [`Owner::asked`] begins the application's time;
    /// [`Handle::reject_handshake`](super::Handle::reject_handshake) answers.
    Http(Box<HttpRequest>),
    /// A message: [`Batch::bytes`](super::Batch::bytes).
    Message(MessageKind, Span),
    /// The peer's close frame: its code and whole body; [`Owner::peer_closed`] answers.
    Close(Option<CloseCode>, Span),
    /// The peer broke a rule; [`Owner::fail`] ends the connection.
    Error(Box<ProtocolError>),
    /// Bytes that wait to be written are down to half of
    /// [`Handle::set_high_water`](super::Handle::set_high_water).
    Drained,
    /// Bytes of a raw connection.
    Bytes(Span),
    /// The connection is gone, or its peer has stopped sending. Always the last of a connection;
    /// [`Owner::closed`] lets go of it.
    Closed,
}

/// An opening handshake that was accepted.
#[derive(Debug)]
pub struct Opened {
    /// Request of the client.
    pub request: Request,
    /// The client's address, behind proxies as they say it is.
    pub remote_ip: Option<IpAddr>,
    /// Profile of its version.
    pub profile: &'static Profile,
    /// The subprotocol that is selected, one of those that the client offers.
    pub subprotocol: Option<Box<[u8]>>,
    /// Response that the application may change where it is asked first
    /// ([`Owner::asked`] begins its time), and must give to
    /// [`Owner::open_with`]; or it calls
    /// [`Handle::reject_handshake`](super::Handle::reject_handshake).
    pub response: Option<Box<Response>>,
}

/// Requests that are answered although they are no opening handshakes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NonWebSocket {
    /// `GET /healthcheck`.
    Healthcheck,
    /// A Flash player's request for the policy file.
    FlashPolicy,
}

/// Kind of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MessageKind {
    /// UTF-8 where the draft checks it.
    Text,
    /// Bytes.
    Binary,
    /// A ping; its pong has been sent.
    Ping,
    /// A pong.
    Pong,
}

/// Place of bytes in their batch.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Span {
    pub(super) start: usize,
    pub(super) len: usize,
    /// Of which piece, counted from 1; 0: of the batch's own buffer.
    pub(super) piece: u32,
    pub(super) code_range: Option<CodeRange>,
}

impl Span {
    /// Code range of the bytes, where they are text that was checked.
    pub fn code_range(self) -> Option<CodeRange> {
        self.code_range
    }

    /// Number of bytes.
    pub fn len(self) -> usize {
        self.len
    }

    /// True if there are none.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

const _: () = {
    // Millions of these pass through the queue.
    assert!(size_of::<Record>() <= 40);
};
