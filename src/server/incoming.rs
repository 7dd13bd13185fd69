//! A connection that was accepted, as plain data, until it is started.

use std::mem;

use tokio::net::TcpStream;

use super::{handle::Handle, registry::Permit};

/// A connection that was accepted; nothing of it has been read. Dropping it closes it.
#[derive(Debug)]
pub struct Incoming {
    handle: Handle,
    /// Until it is started.
    socket: Option<(TcpStream, Permit)>,
}

impl Incoming {
    pub(crate) fn new(socket: TcpStream, handle: Handle, permit: Permit) -> Self {
        Self { handle, socket: Some((socket, permit)) }
    }

    /// Acts on the connection.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The socket, for its driver; `None` in a forked child, whose socket it is not.
    pub(crate) fn take_socket(&mut self) -> Option<(TcpStream, Permit)> {
        if self.handle.is_inherited() {
            return None;
        }
        self.socket.take()
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let Some((socket, _permit)) = self.socket.take() else { return };
        if self.handle.is_inherited() {
            mem::forget(socket);
        } else {
            self.handle.gone();
        }
    }
}
