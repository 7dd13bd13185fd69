//! Answers to those who are not let in, while they are given.

use std::{
    io::{self, Write},
    net::TcpStream as StdStream,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{error::HandshakeError, protocol::handshake::unavailable};

/// At most this many rejections are sent at a time; further connections are closed unanswered.
const MAX_REJECTIONS: usize = 64;

/// The same while the server is being restarted, when many may come at once.
const MAX_WHILE_RESTARTING: usize = 512;

/// Limits on one rejection: its time, and the bytes that are read of what the client sends meanwhile,
/// for closing while it sends would reset the connection before it has read the response.
const REJECT_TIMEOUT: Duration = Duration::from_secs(2);
const REJECT_READ_LIMIT: usize = 64 * 1024;

/// Rejection of connections past a limit, or of a server that is being restarted.
#[derive(Clone, Debug)]
pub(crate) struct Rejections {
    /// Response to one that is past the limit on all connections.
    response: Bytes,
    permits: Arc<Semaphore>,
    while_restarting: Arc<Semaphore>,
    runtime: runtime::Handle,
}

impl Rejections {
    pub(crate) fn new(response: Bytes, runtime: runtime::Handle) -> Self {
        Self {
            response,
            permits: Arc::new(Semaphore::new(MAX_REJECTIONS)),
            while_restarting: Arc::new(Semaphore::new(MAX_WHILE_RESTARTING)),
            runtime,
        }
    }

    /// Number of those that are being sent while the server is restarted.
    pub(crate) fn sending(&self) -> usize {
        MAX_WHILE_RESTARTING - self.while_restarting.available_permits()
    }

    /// Rejects one past a limit, if only few are being rejected already: of all connections, or
    /// that of the error.
    pub(crate) fn reject(&self, stream: TcpStream, error: Option<&HandshakeError>) {
        let permits = match error {
            Some(HandshakeError::Restarting) => &self.while_restarting,
            _ => &self.permits,
        };
        let Ok(permit) = Arc::clone(permits).try_acquire_owned() else { return };
        let response = error.map_or_else(|| self.response.clone(), |it| unavailable(it).into());
        self.send(stream, response, permit);
    }

    /// Rejects one that a listening socket has left, and which comes from nobody's loop: the process
    /// may end before a thread has had its turn, so the response is written now.
    pub(crate) fn reject_now(&self, mut stream: StdStream) {
        let response = unavailable(&HandshakeError::Restarting);
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        let written = stream.write(&response).unwrap_or(0);
        let Ok(permit) = Arc::clone(&self.while_restarting).try_acquire_owned() else { return };
        let _inside = self.runtime.enter();
        if let Ok(stream) = TcpStream::from_std(stream) {
            self.send(stream, Bytes::from(response).slice(written..), permit);
        }
    }

    fn send(&self, stream: TcpStream, response: Bytes, permit: OwnedSemaphorePermit) {
        self.runtime.spawn(async move {
            let _ = timeout(REJECT_TIMEOUT, send_rejection(stream, &response)).await;
            drop(permit);
        });
    }
}

async fn send_rejection(mut stream: TcpStream, response: &[u8]) -> io::Result<()> {
    stream.write_all(response).await?;
    stream.shutdown().await?;
    let mut received = 0;
    let mut bytes = [0; 1024];
    while received < REJECT_READ_LIMIT {
        match stream.read(&mut bytes).await? {
            0 => break,
            len => received += len,
        }
    }
    Ok(())
}
