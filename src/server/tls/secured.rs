//! A connection whose TLS is established: what is sent goes through it, and what is read comes out
//! of it.

use std::{
    io::{self, BufRead, ErrorKind, IoSlice, Read, Write},
    mem,
    os::fd::{AsRawFd, RawFd},
};

use bytes::BufMut;
use rustls::ServerConnection;

use crate::server::{
    outbound::buffer::{OutboundBuffer, TURN},
    sync::OwnedWriteHalf,
    tcp::write_slices,
};

/// Bytes that are encrypted ahead of what the socket takes: a message of 64 KiB with its header,
/// in records of 16 KiB.
const AHEAD: usize = 80 * 1024;

/// A record has so many bytes at most (RFC 8446 section 5.1), and so many more around them.
const RECORD_LEN: usize = 16 * 1024;
const RECORD: usize = 32;

/// Source for a reader who does not ask the socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ahead {
    Nothing,
    /// Bytes that are decrypted already.
    Plaintext,
    /// The end: the peer has closed the session, or broken a rule.
    End,
}

/// A connection whose TLS is established.
#[derive(Debug)]
pub(crate) struct Secured {
    session: ServerConnection,
    /// Until our direction is shut down.
    socket: Option<OwnedWriteHalf>,
    /// The socket's number.
    fd: RawFd,
    /// Number of bytes that the socket has taken, with what TLS adds to them.
    taken: u64,
    /// Number of bytes that are encrypted and not written, by what records add to them at most.
    ahead: usize,
    /// True if the end of our direction has been said.
    is_closed: bool,
    /// True while Nagle's algorithm is kept from the answer to the opening handshake, which would
    /// wait for the acknowledgment of TLS 1.3's ticket.
    defers_nagle: bool,
}

impl Secured {
    pub(crate) fn new(mut session: ServerConnection, socket: OwnedWriteHalf) -> Self {
        session.set_buffer_limit(Some(AHEAD));
        let tcp = socket.as_ref();
        let fd = tcp.as_raw_fd();
        let defers_nagle = !tcp.nodelay().unwrap_or(true) && tcp.set_nodelay(true).is_ok();
        let (taken, ahead, is_closed) = (0, 0, false);
        Self { session, socket: Some(socket), fd, taken, ahead, is_closed, defers_nagle }
    }

    pub(crate) fn socket(&self) -> Option<&OwnedWriteHalf> {
        self.socket.as_ref()
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.fd
    }

    /// Number of bytes that the socket has taken.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// Number of encrypted bytes that the socket has not taken yet.
    pub(crate) fn ahead(&self) -> usize {
        self.ahead
    }

    /// True if records wait that the socket has not taken yet.
    pub(crate) fn has_records(&self) -> bool {
        self.socket.is_some() && self.session.wants_write()
    }

    /// Decrypts, and appends at most `limit` bytes of what that makes.
    ///
    /// What is more than that is what had come before of a record whose end is in `ciphertext`: less
    /// than a record, as long as no more than `limit` bytes are given.
    pub(crate) fn receive(
        &mut self,
        mut ciphertext: &[u8],
        plaintext: &mut impl BufMut,
        limit: usize,
    ) -> Ahead {
        let mut left = limit;
        loop {
            let ahead = self.take(plaintext, &mut left);
            if ciphertext.is_empty() || ahead == Ahead::End {
                // Looking for more gives back the room that large records have needed.
                let _ = self.session.read_tls(&mut NoneYet);
                return ahead;
            }
            let read = self.session.read_tls(&mut ciphertext).is_ok();
            if !read || self.session.process_new_packets().is_err() {
                // An alert says why. What came before is whole, and counts.
                let _ = self.write_records();
                self.take(plaintext, &mut left);
                return Ahead::End;
            }
        }
    }

    fn take(&mut self, plaintext: &mut impl BufMut, left: &mut usize) -> Ahead {
        let mut reader = self.session.reader();
        loop {
            match reader.fill_buf() {
                Ok([]) => return Ahead::End,
                Ok(_) if *left == 0 => return Ahead::Plaintext,
                Ok(bytes) => {
                    let len = bytes.len().min(*left);
                    plaintext.put_slice(&bytes[..len]);
                    reader.consume(len);
                    *left -= len;
                }
                // There is none at present.
                Err(_) => return Ahead::Nothing,
            }
        }
    }

    /// Writes what waits, or a turn's worth, without waiting: whether nothing is left. Where it
    /// `ends` our direction, that is said in the same breath.
    pub(crate) fn flush(&mut self, out: &mut OutboundBuffer, ends: bool) -> io::Result<bool> {
        let before = self.taken;
        loop {
            let all = out.flush(|slices| self.encrypt(slices))?;
            if all && ends {
                self.close();
            }
            let written = self.write_records()?;
            let is_over = self.taken - before >= TURN as u64;
            if all || !written || is_over {
                return Ok(all && written);
            }
        }
    }

    /// Writes parts that make one frame from where they stand, without waiting.
    pub(crate) fn write_parts(&mut self, mut slices: &mut [IoSlice<'_>]) -> io::Result<usize> {
        let mut taken = 0;
        while !slices.is_empty() {
            match self.encrypt(slices) {
                Ok(len) => {
                    taken += len;
                    IoSlice::advance_slices(&mut slices, len);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if !self.write_records()? {
                break;
            }
        }
        Ok(taken)
    }

    /// Takes as much as may be ahead of what the socket takes.
    fn encrypt(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.is_closed || self.socket.is_none() {
            return Err(ErrorKind::NotConnected.into());
        }
        match self.session.writer().write_vectored(slices)? {
            0 => Err(ErrorKind::WouldBlock.into()),
            len => {
                self.ahead += len + RECORD * len.div_ceil(RECORD_LEN);
                Ok(len)
            }
        }
    }

    /// Writes records, without waiting: whether none is left.
    pub(crate) fn write_records(&mut self) -> io::Result<bool> {
        let Some(socket) = &self.socket else { return Ok(true) };
        while self.session.wants_write() {
            match self.session.write_tls(&mut Ciphertext(socket)) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(len) => {
                    self.taken += len as u64;
                    self.ahead = self.ahead.saturating_sub(len);
                    if mem::take(&mut self.defers_nagle) {
                        let _ = socket.as_ref().set_nodelay(false);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.ahead = 0;
        Ok(true)
    }

    /// Ends our direction (RFC 8446 section 6.1), once everything is written: whether that is so.
    pub(crate) fn shut_down(&mut self) -> bool {
        self.close();
        // Where nothing can be written, nothing will be.
        let is_written = self.write_records().unwrap_or(true);
        if is_written {
            // Dropping it shuts the direction down.
            self.socket = None;
        }
        is_written
    }

    fn close(&mut self) {
        self.session.send_close_notify();
        self.is_closed = true;
    }
}

/// A socket of which everything has been read.
struct NoneYet;

impl Read for NoneYet {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(ErrorKind::WouldBlock.into())
    }
}

/// A socket as rustls writes to it.
struct Ciphertext<'a>(&'a OwnedWriteHalf);

impl Write for Ciphertext<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        write_slices(self.0, slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
