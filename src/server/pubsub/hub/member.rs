//! Tasks of a member: one reads its requests and does them, the other writes what waits for it.

use std::{io, sync::Arc, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{net::UnixStream, sync::Notify, time::timeout};

use super::{
    command,
    resp::{self, Broken, Parsed},
    Shared,
};

/// Bytes that are read at once, and that small writes are gathered in.
const BUFFER: usize = 64 << 10;
/// Bytes that there is room for at once, for a request that is larger.
const GROWTH: usize = 1 << 20;
/// Bytes from which on a part is written from where it is, and not gathered.
const LARGE: usize = 8 << 10;
/// Requests that are done before others have their turn.
const BATCH: usize = 64;
/// Time that a publisher waits for members that have much to read yet, at most.
const PAUSE: Duration = Duration::from_millis(10);

/// Takes a connection in as a member.
pub(super) fn serve(shared: &Arc<Shared>, stream: UnixStream) {
    let (stream, wake) = (Arc::new(stream), Arc::new(Notify::new()));
    let Some(who) = shared.lock().join(stream.clone(), wake.clone()) else { return };
    tokio::spawn(read(shared.clone(), who, stream.clone()));
    tokio::spawn(write(shared.clone(), who, stream, wake));
}

async fn read(shared: Arc<Shared>, who: u64, stream: Arc<UnixStream>) {
    let mut buffer = BytesMut::new();
    let mut needed = 1_usize;
    while stream.readable().await.is_ok() {
        buffer.reserve(needed.saturating_sub(buffer.len()).clamp(BUFFER, GROWTH));
        match stream.try_read_buf(&mut buffer) {
            Ok(0) => break,
            Ok(_) if buffer.len() < needed => continue,
            Ok(_) => {}
            Err(error) if is_passing(&error) => continue,
            Err(_) => break,
        }
        let room = shared.room.notified();
        let Ok(next) = requests(&shared, who, &mut buffer) else { break };
        needed = next.needed;
        if next.is_to_pause {
            let _ = timeout(PAUSE, room).await;
        }
        if buffer.is_empty() && buffer.capacity() > GROWTH {
            buffer = BytesMut::new();
        }
    }
    shared.lock().leave(who);
}

/// State after the requests that were there.
struct Next {
    /// Number of bytes that the next request needs at least.
    needed: usize,
    /// True where messages have been published, and others have much to read yet.
    is_to_pause: bool,
}

/// Does the requests that are there.
fn requests(shared: &Shared, who: u64, buffer: &mut BytesMut) -> Result<Next, Broken> {
    let mut has_published = false;
    loop {
        let now = shared.now();
        let mut done = 0;
        let mut broker = shared.lock();
        let published = broker.published;
        for _ in 0..BATCH {
            match resp::parse(&buffer[done..])? {
                Parsed::Request { elements, length } => {
                    command::run(shared, &mut broker, who, now, &elements);
                    done += length;
                }
                Parsed::Incomplete(needed) => {
                    has_published |= broker.published != published;
                    let is_to_pause = has_published && broker.is_crowded(now.elapsed);
                    drop(broker);
                    buffer.advance(done);
                    return Ok(Next { needed, is_to_pause });
                }
            }
        }
        if !broker.has(who) {
            return Err(Broken);
        }
        has_published |= broker.published != published;
        drop(broker);
        buffer.advance(done);
    }
}

async fn write(shared: Arc<Shared>, who: u64, stream: Arc<UnixStream>, wake: Arc<Notify>) {
    let (mut parts, mut gathered) = (Vec::new(), BytesMut::new());
    let mut written = 0;
    loop {
        let elapsed = shared.now().elapsed;
        let turn = shared.lock().turn(who, written, elapsed, &mut parts);
        match turn {
            Some(true) => shared.room.notify_waiters(),
            Some(false) => {}
            None => return,
        }
        if parts.is_empty() {
            written = 0;
            gathered = BytesMut::new();
            wake.notified().await;
            continue;
        }
        written = parts.iter().map(Bytes::len).sum();
        if write_all(&stream, &mut parts, &mut gathered).await.is_err() {
            return shared.lock().leave(who);
        }
    }
}

/// Writes all parts: small ones together, large ones from where they are.
async fn write_all(
    stream: &UnixStream,
    parts: &mut Vec<Bytes>,
    gathered: &mut BytesMut,
) -> io::Result<()> {
    for part in parts.drain(..) {
        let is_large = part.len() >= LARGE;
        if is_large || gathered.len() + part.len() > BUFFER {
            write_whole(stream, gathered).await?;
            gathered.clear();
        }
        if is_large {
            write_whole(stream, &part).await?;
        } else {
            gathered.extend_from_slice(&part);
        }
    }
    write_whole(stream, gathered).await?;
    gathered.clear();
    Ok(())
}

async fn write_whole(stream: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => bytes = &bytes[length..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
