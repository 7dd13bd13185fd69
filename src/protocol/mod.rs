//! The WebSocket protocol, sans-IO, in every version from hixie-75 to RFC 6455.
//!
//! Nothing here knows a socket, a thread or a clock: bytes and a `now` come in, events and bytes
//! go out. [`handshake`] is the opening; after it a [`Receiver`] takes what
//! the peer sends, and a [`Connection`] says what may be sent, through a [`Sender`]; [`deflate`]
//! compresses. What the versions do differently stands in [`version`], nowhere else, and what can go
//! wrong in [`error`].

pub mod close;
mod close_code;
mod connection;
pub mod deflate;
pub mod error;
mod event;
mod frame;
pub mod handshake;
mod held;
mod http_token;
mod limits;
mod mask;
mod message;
mod networks;
mod opcode;
pub mod proxy;
mod receive;
mod send;
mod sentinel;
mod token_bucket;
mod utf8;
pub mod version;

pub use connection::{CloseAction, Connection, ReadyState};
pub use event::{Event, Payload, PeerClose, Sink};
pub use frame::FrameParts;
pub use held::{Held, Meter};
pub use limits::Limits;
pub use mask::apply_mask;
pub use networks::Networks;
pub use opcode::Opcode;
pub use receive::{Budget, Receiver};
pub use send::{AfterClose, Sender};
pub use token_bucket::{Rate, TokenBucket};
pub use utf8::CodeRange;
