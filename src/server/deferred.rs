//! What waits for the driver to compress it, in the order it was sent in.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    broadcast::{Broadcast, Compressed, SHARED},
    compressing::{Compressing, APART},
    link::{Link, Shared},
    locks::Guard,
    outbound::PIECE,
};
use crate::protocol::{deflate::Deflater, version::Profile, Opcode};

/// So many bytes are compressed before other connections have their turn: some milliseconds. In the
/// models, where it is the turns that matter, a message each.
const TURN: usize = if cfg!(all(test, feature = "loom")) { 1 } else { 256 * 1024 };

/// What has been sent on a connection that compresses, and is no frame yet. Compressing is the
/// driver's: it takes long, and here nobody holds the connection's lock, or Ruby's.
///
/// It is made with the [`Compressor`] that belongs to it ([`Compressor::new`]), which alone takes
/// from it: what nobody would compress would wait for ever, and all that is sent behind it.
#[derive(Debug)]
pub(crate) struct Deferred {
    pieces: VecDeque<Piece>,
    len: usize,
    /// The driver compresses what came before: nothing may overtake it.
    in_work: bool,
    /// How many bytes that is.
    working: usize,
    /// Messages of fewer bytes are not compressed.
    threshold: usize,
}

/// One thing that was sent.
#[derive(Debug)]
pub(crate) enum Piece {
    /// A message.
    Message(Opcode, Bytes),
    /// A message that goes to others, too.
    Shared(Arc<Broadcast>),
    /// Bytes to be sent as they are, after what was sent before them.
    Bytes(Bytes),
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Message(_, bytes) | Self::Bytes(bytes) => bytes.len(),
            Self::Shared(message) => message.len(),
        }
    }

    fn is_shared(&self) -> bool {
        matches!(self, Self::Shared(_))
    }
}

impl Deferred {
    /// Whether a message has to take the way through here.
    pub(crate) fn wants(&self, len: usize) -> bool {
        len >= self.threshold || self.is_waiting()
    }

    /// Whether something is on its way through here.
    pub(crate) fn is_waiting(&self) -> bool {
        self.in_work || !self.pieces.is_empty()
    }

    /// How many bytes wait, those included that are being compressed.
    pub(crate) fn len(&self) -> usize {
        self.len + self.working
    }

    /// Memory that is held for them.
    pub(crate) fn held(&self) -> usize {
        self.len() + self.pieces.len() * PIECE
    }

    /// The bytes that others wait for, too.
    pub(crate) fn shared(&self) -> impl Iterator<Item = &Bytes> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Shared(message) => Some(message.payload()),
            Piece::Message(..) | Piece::Bytes(_) => None,
        })
    }

    pub(crate) fn push(&mut self, piece: Piece) {
        self.len += piece.len();
        self.pieces.push_back(piece);
    }

    /// Takes the pieces that come next, one message at least and no more than is compressed at a
    /// time. [`done`](Self::done) must follow.
    fn take(&mut self) -> Option<VecDeque<Piece>> {
        let mut bytes = 0;
        let count = self.pieces.iter().take_while(|piece| {
            let is_next = bytes < TURN;
            bytes += piece.len();
            is_next
        });
        let count = count.count();
        // Pieces that stay are not moved: there may be very many. Where none do, no memory stays.
        let next = if count == self.pieces.len() {
            mem::take(&mut self.pieces)
        } else {
            self.pieces.drain(..count).collect()
        };
        if next.is_empty() {
            return None;
        }
        self.in_work = true;
        self.working = next.iter().map(Piece::len).sum();
        self.len -= self.working;
        Some(next)
    }

    /// Notes that what was taken stands in the outbound buffer.
    fn done(&mut self) {
        self.in_work = false;
        self.working = 0;
    }
}

/// How long a context is kept that is not used: it takes some 300 KiB.
const CONTEXT: Duration = Duration::from_secs(10);

/// What compresses a connection's messages: its driver's.
pub(crate) struct Compressor {
    /// While something is in work, without the context: that is there.
    deflater: Deflater,
    profile: &'static Profile,
    work: Option<Work>,
    /// When the context was used last, while there is one.
    used: Option<Instant>,
    /// When to see whether it is idle.
    idle_at: Option<Instant>,
}

/// Pieces that are being made into frames.
type Work = Pin<Box<dyn Future<Output = Making> + Send>>;

impl Compressor {
    /// Who compresses, and what waits for that: messages of `threshold` bytes and more.
    pub(crate) fn new(
        deflater: Deflater,
        profile: &'static Profile,
        threshold: usize,
    ) -> (Self, Deferred) {
        let deferred =
            Deferred { pieces: VecDeque::new(), len: 0, in_work: false, working: 0, threshold };
        (Self { deflater, profile, work: None, used: None, idle_at: None }, deferred)
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.idle_at
    }

    /// Gives back a context that has been idle.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.idle_at.is_some_and(|idle_at| idle_at <= now) {
            // Moved only here, so that a busy connection's timer is left alone.
            self.idle_at = self.used.map(|used| used + CONTEXT).filter(|idle_at| *idle_at > now);
            if self.idle_at.is_none() {
                self.deflater.release();
            }
        }
    }

    /// Goes on with what is in work, or begins with what comes next; what is made of it goes into
    /// the outbound buffer. The link is let go meanwhile. Where something is still in work, or more
    /// waits, the task will be woken.
    pub(crate) fn advance<'a>(
        &mut self,
        shared: &'a Shared,
        mut link: Guard<'a, Link>,
        cx: &mut Context<'_>,
    ) -> Guard<'a, Link> {
        if self.work.is_none() {
            let next = link.deferred.as_mut().and_then(|deferred| deferred.take());
            self.work = next.map(|pieces| self.begin(pieces, &shared.backlog.compressing));
        }
        if self.work.is_none() {
            return link;
        }
        drop(link);
        let polled = self.poll(cx, Instant::now());
        link = shared.driver_link();
        let Poll::Ready(frames) = polled else { return link };
        for bytes in frames {
            link.out.push(bytes);
        }
        if let Some(deferred) = &mut link.deferred {
            deferred.done();
            if deferred.is_waiting() {
                // Others have their turn first.
                cx.waker().wake_by_ref();
            }
        }
        link
    }

    fn begin(&mut self, pieces: VecDeque<Piece>, compressing: &Compressing) -> Work {
        let bare = self.deflater.bare();
        let deflater = mem::replace(&mut self.deflater, bare);
        let making =
            Making { deflater, profile: self.profile, out: Vec::new(), frames: Vec::new() };
        Box::pin(making.make(pieces, compressing.clone()))
    }

    /// The frames, once they are made.
    fn poll(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<Vec<Bytes>> {
        // A panic in the work loses it, and the context with it: what is sent next has none.
        let Some(mut work) = self.work.take() else { return Poll::Ready(Vec::new()) };
        let Poll::Ready(made) = work.as_mut().poll(cx) else {
            self.work = Some(work);
            return Poll::Pending;
        };
        self.deflater = made.deflater;
        self.used = self.deflater.has_context().then_some(now);
        if self.used.is_some() {
            self.idle_at.get_or_insert(now + CONTEXT);
        }
        Poll::Ready(made.frames)
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Compressor")
            .field("deflater", &self.deflater)
            .field("in_work", &self.work.is_some())
            .finish_non_exhaustive()
    }
}

/// Frames that are being made. It goes to the thread that compresses, and comes back.
struct Making {
    deflater: Deflater,
    profile: &'static Profile,
    /// Small frames, one behind the other.
    out: Vec<u8>,
    /// Frames that stand before them.
    frames: Vec<Bytes>,
}

impl Making {
    /// Makes the bytes that these pieces come to.
    async fn make(mut self, mut pieces: VecDeque<Piece>, compressing: Compressing) -> Self {
        let own = pieces.iter().filter(|piece| !piece.is_shared()).map(Piece::len).sum::<usize>();
        while !pieces.is_empty() {
            let count = pieces.iter().position(Piece::is_shared).unwrap_or(pieces.len());
            let run: Vec<_> = pieces.drain(..count).collect();
            if own > APART && !run.is_empty() {
                let job = move || {
                    self.add(run);
                    self
                };
                self = compressing.run(job).await;
            } else {
                self.add(run);
            }
            if let Some(Piece::Shared(message)) = pieces.pop_front() {
                let made =
                    message.compressed(self.profile, self.deflater.alone(), &compressing).await;
                self.add_shared(made);
            }
        }
        self.end_frame();
        self
    }

    /// Adds pieces of which none is shared.
    fn add(&mut self, pieces: Vec<Piece>) {
        for piece in pieces {
            match piece {
                Piece::Message(opcode, payload) => {
                    self.deflater.message(self.profile, opcode, &payload, &mut self.out);
                }
                Piece::Bytes(bytes) => self.out.extend_from_slice(&bytes),
                Piece::Shared(_) => {}
            }
        }
    }

    fn add_shared(&mut self, Compressed { frame, uses_window }: Compressed) {
        // Our window does not have what the peer's has.
        if uses_window {
            self.deflater.release();
        }
        if frame.len() < SHARED {
            self.out.extend_from_slice(&frame);
        } else {
            self.end_frame();
            self.frames.push(frame);
        }
    }

    fn end_frame(&mut self) {
        if !self.out.is_empty() {
            // Without the room behind it: it counts by its length.
            self.frames.push(Bytes::from(mem::take(&mut self.out).into_boxed_slice()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::protocol::{
        deflate::{negotiate, Agreed, Config},
        version::RFC_6455,
    };

    fn new(agreed: &Agreed, config: &Config) -> Compressor {
        Compressor::new(Deflater::new(agreed, config), &RFC_6455, config.threshold).0
    }

    /// Compresses these pieces, where nobody is waited for.
    fn compress(compressor: &mut Compressor, pieces: VecDeque<Piece>, now: Instant) -> Vec<u8> {
        compressor.work = Some(compressor.begin(pieces, &Compressing::default()));
        match compressor.poll(&mut Context::from_waker(Waker::noop()), now) {
            Poll::Ready(frames) => frames.concat(),
            Poll::Pending => panic!("it waits"),
        }
    }

    #[test]
    fn an_idle_context_is_given_back() {
        let config = Config { threshold: 1, ..Config::default() };
        let agreed = negotiate([&b"permessage-deflate"[..]], &config).unwrap();
        let mut compressor = new(&agreed, &config);
        let message = || [Piece::Message(Opcode::Text, Bytes::from_static(&[b'x'; 100]))].into();
        let begin = Instant::now();
        assert_eq!(compressor.poll_timeout(), None);

        compress(&mut compressor, message(), begin);
        compress(&mut compressor, message(), begin + CONTEXT / 2);
        assert_eq!(compressor.poll_timeout(), Some(begin + CONTEXT));
        compressor.handle_timeout(begin + CONTEXT);
        assert!(compressor.deflater.has_context(), "it was in use 5 s ago");
        let idle_at = begin + CONTEXT / 2 + CONTEXT;
        assert_eq!(compressor.poll_timeout(), Some(idle_at));
        compressor.handle_timeout(idle_at);
        assert!(!compressor.deflater.has_context());
        assert_eq!(compressor.poll_timeout(), None);

        let first = compress(&mut new(&agreed, &config), message(), begin);
        assert_eq!(compress(&mut compressor, message(), idle_at), first);
    }

    #[test]
    fn what_is_taken_at_a_time_is_bounded() {
        let config = Config::default();
        let deflater = Deflater::new(&Agreed::default(), &config);
        let (_, mut deferred) = Compressor::new(deflater, &RFC_6455, 1);
        for _ in 0..10 {
            deferred.push(Piece::Bytes(Bytes::from(vec![0; TURN / 4])));
        }
        deferred.push(Piece::Bytes(Bytes::from(vec![0; TURN * 4])));
        for (count, left) in [(4, 6), (4, 2), (3, 0)] {
            let all = deferred.len();
            assert_eq!(deferred.take().map(|pieces| pieces.len()), Some(count));
            assert_eq!(deferred.len(), all, "it waits until it is done");
            deferred.done();
            assert_eq!(deferred.is_waiting(), left > 0);
        }
        assert!(deferred.take().is_none());
        assert_eq!(deferred.len(), 0);
    }

    #[test]
    fn what_stays_is_not_moved_by_what_is_taken() {
        let deflater = Deflater::new(&Agreed::default(), &Config::default());
        let (_, mut deferred) = Compressor::new(deflater, &RFC_6455, 1);
        let bytes = Bytes::from(vec![0; TURN]);
        (0..60_000).for_each(|_| deferred.push(Piece::Bytes(bytes.clone())));
        let begin = Instant::now();
        while deferred.take().is_some() {}
        // To move it each time is 70 GB to be copied.
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
        assert_eq!(deferred.pieces.capacity(), 0, "nothing waits, and no memory stays");
    }

    #[test]
    fn a_shared_message_is_compressed_once_and_ends_the_context() {
        let config = Config { threshold: 1, ..Config::default() };
        let agreed = negotiate([&b"permessage-deflate"[..]], &config).unwrap();
        let shared = Arc::new(Broadcast::text(&[b'y'; 3000]));
        let frames: Vec<_> = (0..3)
            .map(|_| {
                let mut compressor = new(&agreed, &config);
                let own = Piece::Message(Opcode::Text, Bytes::from_static(&[b'x'; 100]));
                let pieces = [own, Piece::Shared(Arc::clone(&shared))].into();
                let frames = compress(&mut compressor, pieces, Instant::now());
                assert!(!compressor.deflater.has_context());
                frames
            })
            .collect();
        assert_eq!(frames[0], frames[1]);
        assert_eq!(frames[0], frames[2]);
        let alone =
            compress(&mut new(&agreed, &config), [Piece::Shared(shared)].into(), Instant::now());
        assert!(alone.len() < 100 && frames[0].ends_with(&alone));
    }
}
