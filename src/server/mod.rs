//! The server: sockets, threads and clocks around [`protocol`](crate::protocol), with tokio.
//!
//! A [`Server`] listens; each connection it accepts is announced on the [`EventQueue`] and read
//! only after the queue's owner has called [`Server::start`]. From then on a driver task moves
//! the bytes, and everything that happens comes out of the queue, in order, ending with
//! [`Delivery::Closed`]. The queue's owner is one thread, woken through a file descriptor; what is
//! sent through a [`Handle`] may come from any thread.
//!
//! Its files are layers: each imports those below it only, from the listener down to what a thread
//! or a socket is made of (`rakelib/layers.rb` has the list, `rake lint:layers` holds it).

#![allow(clippy::disallowed_methods, reason = "clocks are the server's")]

mod addresses;
mod batch;
mod buffers;
pub mod channels;
mod charge;
mod clients;
mod compression_threads;
mod config;
mod connection;
mod delivery;
mod driver;
mod event_queue;
mod event_sender;
mod handle;
mod inbound;
mod incoming;
mod keepalive;
mod listener;
mod listening;
mod locks;
mod memberships;
#[cfg(feature = "loom")]
#[cfg(test)]
mod models;
mod outbound;
mod outbox;
mod owner;
mod pause;
mod pending_flushes;
mod process;
#[cfg(feature = "redis")]
#[cfg(not(all(test, feature = "loom")))]
pub mod pubsub;
mod reader;
mod registry;
mod rejections;
mod runtime;
mod server_names;
mod slab;
mod socket;
mod stats;
mod sync;
mod tcp;
pub mod tls;
mod transmission;
mod wakeup;

pub use addresses::ListenAddress;
pub use batch::Batch;
pub use charge::Charge;
pub use config::{ClientLimits, ConnectionOptions, QueueLimits, ReadSize, ServerOptions};
pub use delivery::{Delivery, MessageKind, NonWebSocket, Opened, Record, Span};
pub use event_queue::EventQueue;
pub use handle::Handle;
pub use incoming::Incoming;
pub use keepalive::Keepalive;
pub use listener::{Server, StillOpen};
pub use listening::{BindError, Listen};
pub use outbound::{broadcast::Broadcast, buffer::OutboundBuffer, Flush};
pub use outbox::Sent;
pub use owner::{Failing, Opening, Owner};
pub use pending_flushes::PendingFlushes;
pub use server_names::ServerNames;
pub use slab::{slot, Slab};
pub use stats::{Stats, Traffic};
pub use transmission::Transmission;
pub use wakeup::Wakeup;

/// Tells the core that this process is the child of a fork, while it has one thread.
///
/// The threads, the sockets and what they wait on are the parent's: handles that were made before
/// do nothing from now on, servers are to be [abandoned](Server::abandon), and there are no
/// channels.
pub fn forked() {
    runtime::forked();
    channels::forked();
    #[cfg(feature = "redis")]
    #[cfg(not(all(test, feature = "loom")))]
    pubsub::forked();
}
