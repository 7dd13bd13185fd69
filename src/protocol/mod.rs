//! The WebSocket protocol, sans-IO, in every version from hixie-75 to RFC 6455.
//!
//! Nothing here knows a socket, a thread or a clock: bytes and a `now` come in, events and bytes
//! go out. [`handshake`] is the opening; [`Receiver`] and [`Sender`] are the two halves after it;
//! [`Connection`] is both together, for a caller who holds the bytes in one place; [`deflate`]
//! compresses. What the versions do differently stands in [`version`], nowhere else.

pub mod close;
mod connection;
pub mod deflate;
mod event;
mod frame;
pub mod handshake;
mod held;
mod mask;
mod message;
mod opcode;
mod receive;
mod send;
mod sentinel;
mod utf8;
pub mod version;

pub use connection::{Connection, Progress, State};
pub use event::{Charset, Event, Payload, PeerClose, Sink};
pub use frame::FrameParts;
pub use held::{Held, Meter};
pub use mask::apply_mask;
pub use opcode::Opcode;
pub use receive::{Budget, Limits, Receiver};
pub use send::{AfterClose, Sender};
