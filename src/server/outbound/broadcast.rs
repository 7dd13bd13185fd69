//! One message for many connections.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::{
    protocol::{
        deflate::{Deflater, Key},
        version::Profile,
        FrameParts, Opcode,
    },
    server::{
        compression_threads::{CompressionThreads, BLOCKING_THRESHOLD},
        locks::{lock, Guarded, LockRank},
        process::ProcessMutex,
        sync::Mutex,
    },
};

/// A rest at least this long is shared; a shorter one is copied, which costs less.
pub(crate) const SHARED: usize = 1024;

/// A frame for connections that compress.
#[derive(Clone, Debug)]
pub(crate) struct Compressed {
    pub(crate) frame: Bytes,
    /// True if it is compressed indeed, so that the peer's window has it.
    pub(crate) uses_window: bool,
}

/// One message for many connections: its frame is made once for each version that needs another,
/// and compressed once for each way that was agreed.
#[derive(Debug)]
pub struct Broadcast {
    opcode: Opcode,
    payload: Bytes,
    frames: ProcessMutex<Frames>,
    compressed: Mutex<CompressedFrames>,
}

/// A frame for each version that needs another.
type Frames = Vec<(u16, Bytes)>;

/// A compressed frame for each version and way that was agreed.
type CompressedFrames = Vec<(u16, Key, Coming)>;

/// A frame that is made already, or is being made.
type Coming = watch::Receiver<Option<Compressed>>;

/// Maker of a frame.
enum Maker {
    /// The one that asks: nobody makes it yet. The others are told through this.
    Asking(watch::Sender<Option<Compressed>>),
    Another(Coming),
}

impl Broadcast {
    /// A text message. Its bytes must be UTF-8.
    pub fn text(text: &[u8]) -> Self {
        Self::new(Opcode::Text, text)
    }

    /// A binary message.
    pub fn binary(bytes: &[u8]) -> Self {
        Self::new(Opcode::Binary, bytes)
    }

    /// A message whose bytes are shared. Those of a text must be UTF-8.
    #[cfg(feature = "redis")]
    #[cfg(not(all(test, feature = "loom")))]
    pub(crate) fn shared(is_binary: bool, payload: Bytes) -> Self {
        Self::of(if is_binary { Opcode::Binary } else { Opcode::Text }, payload)
    }

    /// A message of the same kind with another payload, text where this is text.
    pub(crate) fn with_payload(&self, payload: Vec<u8>) -> Self {
        Self::of(self.opcode, Bytes::from(payload))
    }

    fn new(opcode: Opcode, payload: &[u8]) -> Self {
        Self::of(opcode, Bytes::copy_from_slice(payload))
    }

    fn of(opcode: Opcode, payload: Bytes) -> Self {
        Self { opcode, payload, frames: ProcessMutex::default(), compressed: Mutex::default() }
    }

    /// Number of bytes of the message.
    pub(crate) fn len(&self) -> usize {
        self.payload.len()
    }

    /// True for a binary message.
    pub fn is_binary(&self) -> bool {
        self.opcode == Opcode::Binary
    }

    /// Payload that is sent.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Frame for connections that do not compress it.
    pub(crate) fn frame(&self, profile: &Profile) -> Bytes {
        let Some(mut frames) = self.frames.lock() else { return self.make(profile) };
        if let Some((_, frame)) = frames.iter().find(|(version, _)| *version == profile.version) {
            return frame.clone();
        }
        let frame = self.make(profile);
        frames.push((profile.version, frame.clone()));
        frame
    }

    fn make(&self, profile: &Profile) -> Bytes {
        let parts = FrameParts::around(profile, self.opcode, self.payload.len());
        Bytes::from([parts.head(), &self.payload, parts.tail()].concat())
    }

    /// For the driver: the frame as this deflater would make it without a context. Whoever finds it
    /// being made waits until it is, without a thread. Where its maker gives up before it has opening,
    /// because its connection is gone, or where it panics, one of those who wait makes it.
    pub(crate) async fn compressed(
        self: Arc<Self>,
        profile: &'static Profile,
        deflater: Deflater,
        threads: &CompressionThreads,
    ) -> Compressed {
        loop {
            match self.maker(profile.version, deflater.key()) {
                Maker::Another(coming) => {
                    if let Some(made) = made(coming).await {
                        return made;
                    }
                }
                Maker::Asking(others) => {
                    let (message, deflater) = (Arc::clone(&self), deflater.bare());
                    let job = move || message.compress(profile, deflater, &others);
                    let is_long = self.len() > BLOCKING_THRESHOLD;
                    return if is_long { threads.run(job).await } else { job() };
                }
            }
        }
    }

    fn maker(&self, version: u16, shape: Key) -> Maker {
        let mut all = lock(&self.compressed);
        let is_coming = |coming: &Coming| coming.borrow().is_some() || coming.has_changed().is_ok();
        all.retain(|(.., coming)| is_coming(coming));
        match all.iter().find(|(of, with, _)| (*of, *with) == (version, shape)) {
            Some((.., coming)) => Maker::Another(coming.clone()),
            None => {
                let (sender, coming) = watch::channel(None);
                all.push((version, shape, coming));
                Maker::Asking(sender)
            }
        }
    }

    fn compress(
        &self,
        profile: &Profile,
        mut deflater: Deflater,
        others: &watch::Sender<Option<Compressed>>,
    ) -> Compressed {
        let mut frame = Vec::new();
        let uses_window = deflater.message(profile, self.opcode, &self.payload, &mut frame);
        let made = Compressed { frame: Bytes::from(frame.into_boxed_slice()), uses_window };
        others.send_replace(Some(made.clone()));
        made
    }
}

/// A frame, once it is made; `None` where nobody makes it any more.
async fn made(mut coming: Coming) -> Option<Compressed> {
    coming.wait_for(Option::is_some).await.ok()?.clone()
}

impl Guarded for Frames {
    const RANK: LockRank = LockRank::Frames;
}

impl Guarded for CompressedFrames {
    const RANK: LockRank = LockRank::Compressed;
}
