//! The server: sockets, threads and clocks around [`protocol`](crate::protocol), with tokio.
//!
//! A [`Server`] listens; each connection it accepts is announced on the [`EventQueue`] and read
//! only after the queue's owner has called [`Incoming::start`]. From then on a driver task moves
//! the bytes, and everything that happens comes out of the queue, in order, ending with
//! [`Delivery::Closed`]. The queue's owner is one thread, woken through a file descriptor; what is
//! sent through a [`Handle`] may come from any thread.

#![allow(clippy::disallowed_methods, reason = "clocks are the server's")]

mod addresses;
mod backlog;
mod broadcast;
mod charge;
mod compressing;
mod config;
mod corked;
mod deferred;
mod driver;
mod events;
mod handle;
mod hold;
mod landing;
mod link;
mod listener;
mod liveness;
mod locks;
#[cfg(feature = "loom")]
#[cfg(test)]
mod models;
mod opening;
mod outbound;
mod process;
mod runtime;
mod sender;
mod slots;
mod stats;
mod stream;
mod sync;
mod tally;
pub mod tls;
mod transmission;
mod wakeup;

pub use broadcast::Broadcast;
pub use charge::Charge;
pub use config::{ConnectionOptions, QueueLimits, ReadSize, ServerOptions};
pub use corked::Corked;
pub use events::{Batch, Delivery, EventQueue, Kind, Opened, Plain, Record, Span};
pub use handle::{Cork, Handle, Sent};
pub use listener::{BindError, Incoming, Server, StillOpen};
pub use liveness::Keepalive;
pub use outbound::Outbound;
pub use runtime::forked;
pub use slots::{slot, Slots};
pub use stats::{Stats, Traffic};
pub use transmission::Transmission;
pub use wakeup::Wakeup;
