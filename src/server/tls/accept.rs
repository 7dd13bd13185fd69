//! The handshake of TLS.

use std::{
    io::{self, ErrorKind, Read},
    pin::Pin,
    sync::Arc,
    task::{ready, Context, Poll},
};

use rustls::{ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, ReadBuf};

use super::secured::{Ciphertext, Secured};
use crate::server::sync::{OwnedReadHalf, OwnedWriteHalf};

/// A connection whose TLS is being established.
#[derive(Debug)]
pub(crate) struct Accepting {
    session: ServerConnection,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
}

impl Accepting {
    /// # Errors
    /// Those of a configuration that suits no connection.
    pub(crate) fn new(
        config: &Arc<ServerConfig>,
        (reader, writer): (OwnedReadHalf, OwnedWriteHalf),
    ) -> Result<Self, rustls::Error> {
        Ok(Self { session: ServerConnection::new(Arc::clone(config))?, reader, writer })
    }

    /// Goes on with the handshake, as far as there is something to read and room to write.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.is_handshaking() {
            ready!(self.poll_write(cx))?;
            let mut reader = Arriving { reader: &mut self.reader, cx };
            match self.session.read_tls(&mut reader) {
                Ok(0) => return Poll::Ready(Err(ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
            if let Err(error) = self.session.process_new_packets() {
                // An alert says why.
                let _ = self.poll_write(cx);
                return Poll::Ready(Err(io::Error::new(ErrorKind::InvalidData, error)));
            }
        }
        // Tickets are left for what is sent next, so that they leave with it.
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut Ciphertext(&self.writer)) {
                Ok(0) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.writer.as_ref().poll_write_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn session(&self) -> &ServerConnection {
        &self.session
    }

    /// What is read from, and what is written to, once the handshake is done.
    pub(crate) fn established(self) -> (OwnedReadHalf, Secured) {
        (self.reader, Secured::new(self.session, self.writer))
    }
}

/// A socket as rustls reads from it.
struct Arriving<'a, 'b> {
    reader: &'a mut OwnedReadHalf,
    cx: &'a mut Context<'b>,
}

impl Read for Arriving<'_, '_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let mut to = ReadBuf::new(to);
        match Pin::new(&mut *self.reader).poll_read(self.cx, &mut to) {
            Poll::Ready(result) => result.map(|()| to.filled().len()),
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }
}
