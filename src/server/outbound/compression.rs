//! Queue of messages that wait for compression, in the order they were sent in, and the compressor
//! that takes from it.

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
    buffer::ITEM_OVERHEAD,
};
use crate::{
    protocol::{deflate::Deflater, version::Profile, Opcode},
    server::compression_threads::{CompressionThreads, BLOCKING_THRESHOLD},
};

/// Bytes that are compressed before other connections have their turn: some milliseconds. In the
/// models, where it is the turns that matter, a message each.
const MAX_BYTES_PER_TURN: usize = if cfg!(all(test, feature = "loom")) { 1 } else { 256 * 1024 };

/// Messages of a connection that compresses, which are no frames yet. CompressionThreads is the
/// driver's: it takes long, and here nobody holds the connection's lock, or Ruby's.
///
/// It is made with the [`Compressor`] that belongs to it ([`Compressor::new`]), which alone takes
/// from it: what nobody would compress would wait for ever, and all that is sent behind it.
#[derive(Debug)]
pub(crate) struct CompressionQueue {
    items: VecDeque<Item>,
    len: usize,
    /// The driver compresses what came before: nothing may overtake it.
    in_progress: bool,
    /// Number of its bytes.
    working: usize,
    /// Messages of fewer bytes are not compressed.
    threshold: usize,
}

/// One thing that was sent.
#[derive(Debug)]
pub(crate) enum Item {
    /// A message.
    Message(Opcode, Bytes),
    /// A message that goes to others, too.
    Shared(Arc<Broadcast>),
    /// Bytes to be sent as they are, after what was sent before them.
    Bytes(Bytes),
}

impl Item {
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

impl CompressionQueue {
    /// True if a message has to take the way through here.
    pub(crate) fn accepts(&self, len: usize) -> bool {
        len >= self.threshold || self.is_waiting()
    }

    /// True if something is on its way through here.
    pub(crate) fn is_waiting(&self) -> bool {
        self.in_progress || !self.items.is_empty()
    }

    /// Number of bytes that wait, those included that are being compressed.
    pub(crate) fn len(&self) -> usize {
        self.len + self.working
    }

    /// Memory that is held for them.
    pub(crate) fn held(&self) -> usize {
        self.len() + self.items.len() * ITEM_OVERHEAD
    }

    /// The bytes that others wait for, too.
    pub(crate) fn shared(&self) -> impl Iterator<Item = &Bytes> {
        self.items.iter().filter_map(|item| match item {
            Item::Shared(message) => Some(message.payload()),
            Item::Message(..) | Item::Bytes(_) => None,
        })
    }

    pub(crate) fn push(&mut self, item: Item) {
        self.len += item.len();
        self.items.push_back(item);
    }

    /// Takes the items that come next, one message at least and no more than is compressed at a
    /// time. [`done`](Self::done) must follow.
    fn take(&mut self) -> Option<VecDeque<Item>> {
        let mut bytes = 0;
        let count = self.items.iter().take_while(|item| {
            let is_next = bytes < MAX_BYTES_PER_TURN;
            bytes += item.len();
            is_next
        });
        let count = count.count();
        // Pieces that stay are not moved: there may be very many. Where none do, no memory stays.
        let next = if count == self.items.len() {
            mem::take(&mut self.items)
        } else {
            self.items.drain(..count).collect()
        };
        if next.is_empty() {
            return None;
        }
        self.in_progress = true;
        self.working = next.iter().map(Item::len).sum();
        self.len -= self.working;
        Some(next)
    }

    /// Notes that what was taken stands in the outbound buffer.
    pub(crate) fn done(&mut self) {
        self.in_progress = false;
        self.working = 0;
    }
}

/// Time for which a context is kept that is not used: it takes some 300 KiB.
const CONTEXT: Duration = Duration::from_secs(10);

/// Compressor of a connection's messages: its driver's.
pub(crate) struct Compressor {
    /// While something is in work, without the context: that is there.
    deflater: Deflater,
    profile: &'static Profile,
    work: Option<Work>,
    /// Last use of the context, while there is one.
    used: Option<Instant>,
    /// Time to see whether it is idle.
    idle_at: Option<Instant>,
}

/// Pieces that are being made into frames.
type Work = Pin<Box<dyn Future<Output = Making> + Send>>;

impl Compressor {
    /// Compressor, and the queue of what waits for it: messages of `threshold` bytes and more.
    pub(crate) fn new(
        deflater: Deflater,
        profile: &'static Profile,
        threshold: usize,
    ) -> (Self, CompressionQueue) {
        let deferred = CompressionQueue {
            items: VecDeque::new(),
            len: 0,
            in_progress: false,
            working: 0,
            threshold,
        };
        (Self { deflater, profile, work: None, used: None, idle_at: None }, deferred)
    }

    /// Time at which [`handle_timeout`](Self::handle_timeout) wants to be called.
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

    /// Begins with the next items of its queue, unless others are in progress: whether any are now.
    pub(crate) fn begin_next(
        &mut self,
        queue: Option<&mut CompressionQueue>,
        threads: &CompressionThreads,
    ) -> bool {
        if self.work.is_none() {
            let next = queue.and_then(CompressionQueue::take);
            self.work = next.map(|items| self.begin(items, threads));
        }
        self.work.is_some()
    }

    fn begin(&mut self, items: VecDeque<Item>, threads: &CompressionThreads) -> Work {
        let bare = self.deflater.bare();
        let deflater = mem::replace(&mut self.deflater, bare);
        let making =
            Making { deflater, profile: self.profile, out: Vec::new(), frames: Vec::new() };
        Box::pin(making.make(items, threads.clone()))
    }

    /// The frames, once they are made.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<Vec<Bytes>> {
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
            .field("in_progress", &self.work.is_some())
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
    /// Makes the bytes that these items come to.
    async fn make(mut self, mut items: VecDeque<Item>, threads: CompressionThreads) -> Self {
        let own = items.iter().filter(|item| !item.is_shared()).map(Item::len).sum::<usize>();
        while !items.is_empty() {
            let count = items.iter().position(Item::is_shared).unwrap_or(items.len());
            let run: Vec<_> = items.drain(..count).collect();
            if own > BLOCKING_THRESHOLD && !run.is_empty() {
                let job = move || {
                    self.add(run);
                    self
                };
                self = threads.run(job).await;
            } else {
                self.add(run);
            }
            if let Some(Item::Shared(message)) = items.pop_front() {
                let made = message
                    .compressed(self.profile, self.deflater.without_context(), &threads)
                    .await;
                self.add_shared(made);
            }
        }
        self.end_frame();
        self
    }

    /// Adds items of which none is shared.
    fn add(&mut self, items: Vec<Item>) {
        for item in items {
            match item {
                Item::Message(opcode, payload) => {
                    self.deflater.message(self.profile, opcode, &payload, &mut self.out);
                }
                Item::Bytes(bytes) => self.out.extend_from_slice(&bytes),
                Item::Shared(_) => {}
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
        deflate::{negotiate, Config, Params},
        version::RFC_6455,
    };

    fn new(agreed: &Params, config: &Config) -> Compressor {
        Compressor::new(Deflater::new(agreed, config), &RFC_6455, config.threshold).0
    }

    /// Compresses these items, where nobody is waited for.
    fn compress(compressor: &mut Compressor, items: VecDeque<Item>, now: Instant) -> Vec<u8> {
        compressor.work = Some(compressor.begin(items, &CompressionThreads::default()));
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
        let message = || [Item::Message(Opcode::Text, Bytes::from_static(&[b'x'; 100]))].into();
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
    fn the_compressor_takes_a_bounded_number_of_bytes_at_a_time() {
        let config = Config::default();
        let deflater = Deflater::new(&Params::default(), &config);
        let (_, mut deferred) = Compressor::new(deflater, &RFC_6455, 1);
        for _ in 0..10 {
            deferred.push(Item::Bytes(Bytes::from(vec![0; MAX_BYTES_PER_TURN / 4])));
        }
        deferred.push(Item::Bytes(Bytes::from(vec![0; MAX_BYTES_PER_TURN * 4])));
        for (count, left) in [(4, 6), (4, 2), (3, 0)] {
            let all = deferred.len();
            assert_eq!(deferred.take().map(|items| items.len()), Some(count));
            assert_eq!(deferred.len(), all, "it waits until it is done");
            deferred.done();
            assert_eq!(deferred.is_waiting(), left > 0);
        }
        assert!(deferred.take().is_none());
        assert_eq!(deferred.len(), 0);
    }

    #[test]
    fn items_that_stay_in_the_compression_queue_are_not_moved() {
        let deflater = Deflater::new(&Params::default(), &Config::default());
        let (_, mut deferred) = Compressor::new(deflater, &RFC_6455, 1);
        let bytes = Bytes::from(vec![0; MAX_BYTES_PER_TURN]);
        (0..60_000).for_each(|_| deferred.push(Item::Bytes(bytes.clone())));
        let begin = Instant::now();
        while deferred.take().is_some() {}
        // To move it each time is 70 GB to be copied.
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
        assert_eq!(deferred.items.capacity(), 0, "nothing waits, and no memory stays");
    }

    #[test]
    fn a_shared_message_is_compressed_once_and_ends_the_context() {
        let config = Config { threshold: 1, ..Config::default() };
        let agreed = negotiate([&b"permessage-deflate"[..]], &config).unwrap();
        let shared = Arc::new(Broadcast::text(&[b'y'; 3000]));
        let frames: Vec<_> = (0..3)
            .map(|_| {
                let mut compressor = new(&agreed, &config);
                let own = Item::Message(Opcode::Text, Bytes::from_static(&[b'x'; 100]));
                let items = [own, Item::Shared(Arc::clone(&shared))].into();
                let frames = compress(&mut compressor, items, Instant::now());
                assert!(!compressor.deflater.has_context());
                frames
            })
            .collect();
        assert_eq!(frames[0], frames[1]);
        assert_eq!(frames[0], frames[2]);
        let alone =
            compress(&mut new(&agreed, &config), [Item::Shared(shared)].into(), Instant::now());
        assert!(alone.len() < 100 && frames[0].ends_with(&alone));
    }
}
