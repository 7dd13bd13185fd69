//! The handshake of TLS, which is tokio-rustls'.

use std::{
    future::{poll_fn, Future},
    io::{self, ErrorKind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::{server::Acceptor, ContentType, Error, ServerConfig, ServerConnection};
use tokio::net::TcpStream;
use tokio_rustls::{
    server::{StartHandshake, TlsStream},
    LazyConfigAcceptor,
};

use crate::server::server_names::ServerNames;

/// A fatal alert, `unexpected_message` (RFC 8446 section 6), before there are any keys.
const UNEXPECTED_MESSAGE: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 10];

/// A connection whose TLS is being established. A driver keeps it in a box: two words would make
/// every driver larger, and its task no longer fill 256 bytes.
pub(crate) struct Accepting(Pin<Box<dyn Future<Output = Accepted> + Send>>);

/// The socket and the session, once the handshake is done.
type Accepted = io::Result<(TcpStream, ServerConnection)>;

impl Accepting {
    pub(crate) fn new(
        config: &Arc<ServerConfig>,
        hosts: Option<&Arc<ServerNames>>,
        socket: TcpStream,
    ) -> Self {
        Self(Box::pin(accept(Arc::clone(config), hosts.cloned(), socket)))
    }

    /// Goes on with the handshake, as far as there is something to read and room to write. Not to
    /// be called again once it is done.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Accepted> {
        self.0.as_mut().poll(cx)
    }
}

async fn accept(
    mut config: Arc<ServerConfig>,
    hosts: Option<Arc<ServerNames>>,
    socket: TcpStream,
) -> Accepted {
    let start = read_client_hello(socket).await?;
    if let Some(hosts) = hosts {
        let host = start.client_hello().server_name().and_then(|name| hosts.get(name));
        config = host.map_or(config, Arc::clone);
    }
    let mut behind = Ok(());
    // Bytes behind the ClientHello: tokio-rustls would look at them only once more have come.
    let mut handshake = start.into_stream_with(config, |session| {
        behind = session.process_new_packets().map(drop);
    });
    if let Err(error) = behind {
        // The answer to the ClientHello leaves, and the alert.
        poll_fn(|cx| {
            let _ = Pin::new(&mut handshake).poll(cx);
            Poll::Ready(())
        })
        .await;
        return Err(io::Error::new(ErrorKind::InvalidData, error));
    }
    handshake.await.map(TlsStream::into_inner)
}

async fn read_client_hello(socket: TcpStream) -> io::Result<StartHandshake<TcpStream>> {
    let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), socket);
    let read = (&mut acceptor).await;
    // rustls' acceptor has no alert for a message that is no ClientHello.
    if read.as_ref().is_err_and(is_unexpected) {
        if let Some(socket) = acceptor.take_io() {
            let _ = socket.try_write(&UNEXPECTED_MESSAGE);
        }
    }
    read
}

/// True for a message that is no ClientHello; to an alert nothing is said.
fn is_unexpected(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref());
    match error {
        Some(Error::InappropriateMessage { got_type, .. }) => *got_type != ContentType::Alert,
        Some(Error::InappropriateHandshakeMessage { .. }) => true,
        _ => false,
    }
}
