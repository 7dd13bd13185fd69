//! Bytes on their way out, before any socket: the write buffer, the queue of what is still to be
//! compressed, and messages that go to many connections.

pub(crate) mod broadcast;
pub(crate) mod buffer;
pub(crate) mod compression;

/// Time at which what is sent is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flush {
    /// At once.
    Now,
    /// With the next [`Handle::flush`](super::Handle::flush), in one write with more.
    Later,
}
