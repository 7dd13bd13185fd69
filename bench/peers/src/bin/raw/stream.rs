//! A connection, plain or TLS.

use std::{
    cell::Cell,
    io::{self, ErrorKind, IoSlice, Read, Write},
    net::TcpStream,
    sync::Arc,
};

use rustls::{ServerConfig, ServerConnection};

pub(crate) struct Stream {
    pub(crate) socket: TcpStream,
    tls: Option<Box<Tls>>,
    /// True if the poll watches for room to write.
    watched: Cell<bool>,
}

struct Tls {
    session: ServerConnection,
    /// Encrypted, and not written yet.
    pending: Vec<u8>,
}

impl Stream {
    pub(crate) fn new(socket: TcpStream, tls: Option<&Arc<ServerConfig>>) -> io::Result<Self> {
        let tls = match tls {
            None => None,
            Some(config) => {
                let mut session =
                    ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
                session.set_buffer_limit(None);
                Some(Box::new(Tls { session, pending: Vec::new() }))
            }
        };
        Ok(Self { socket, tls, watched: Cell::new(false) })
    }

    /// Watch for room to write from now on; none where that stays as it is.
    pub(crate) fn turns(&self, unsent: bool) -> Option<bool> {
        let writing = unsent || self.tls.as_ref().is_some_and(|tls| !tls.pending.is_empty());
        (self.watched.replace(writing) != writing).then_some(writing)
    }

    /// Reads once, to `at`. How many bytes; none at the end.
    pub(crate) fn read(&mut self, scratch: &mut Vec<u8>, at: usize) -> io::Result<Option<usize>> {
        let Some(tls) = &mut self.tls else {
            return read(&mut self.socket, &mut scratch[at..]);
        };
        let mut ciphertext = [0; 64 * 1024];
        let Some(len) = read(&mut self.socket, &mut ciphertext)? else {
            return Ok(None);
        };
        let mut rest = &ciphertext[..len];
        let mut plaintext = 0;
        while !rest.is_empty() {
            tls.session.read_tls(&mut rest)?;
            let state = tls.session.process_new_packets().map_err(io::Error::other)?;
            let len = state.plaintext_bytes_to_read();
            if len > 0 {
                let to = at + plaintext;
                if scratch.len() < to + len {
                    scratch.resize(to + len, 0);
                }
                tls.session.reader().read_exact(&mut scratch[to..to + len])?;
                plaintext += len;
            }
            if state.peer_has_closed() {
                return Ok(None);
            }
        }
        if tls.session.wants_write() {
            tls.flush(&mut self.socket)?;
        }
        Ok(Some(plaintext))
    }

    /// Writes as much as the socket takes. With TLS that is all or nothing.
    pub(crate) fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            let result = match pieces {
                [piece] => self.socket.write(piece),
                pieces => self.socket.write_vectored(pieces),
            };
            return match result {
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
                result => result,
            };
        };
        if !tls.flush(&mut self.socket)? {
            return Ok(0);
        }
        let mut taken = 0;
        for piece in pieces {
            tls.session.writer().write_all(piece)?;
            taken += piece.len();
        }
        tls.flush(&mut self.socket)?;
        Ok(taken)
    }
}

impl Tls {
    /// True if nothing is left.
    fn flush(&mut self, socket: &mut TcpStream) -> io::Result<bool> {
        while self.session.wants_write() {
            self.session.write_tls(&mut self.pending)?;
        }
        while !self.pending.is_empty() {
            match socket.write(&self.pending) {
                Ok(len) if len == self.pending.len() => self.pending = Vec::new(),
                Ok(len) => drop(self.pending.drain(..len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

fn read(socket: &mut TcpStream, to: &mut [u8]) -> io::Result<Option<usize>> {
    match socket.read(to) {
        Ok(0) => Ok(None),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Some(0)),
        result => result.map(Some),
    }
}
