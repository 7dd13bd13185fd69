//! One message for many connections.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    deferred::Piece,
    handle::{Cork, Handle, Sent},
    sync::Mutex,
    tally::lock,
};
use crate::protocol::{
    deflate::{Deflater, Shape},
    version::Profile,
    FrameParts, Opcode, State,
};

/// A rest at least this long is shared; a shorter one is copied, which costs less.
pub(crate) const SHARED: usize = 1024;

/// A frame for connections that compress.
#[derive(Clone, Debug)]
pub(crate) struct Compressed {
    pub(crate) frame: Bytes,
    /// Whether it is compressed indeed, so that the peer's window has it.
    pub(crate) uses_window: bool,
}

/// One message for many connections: its frame is made once for each version that needs another,
/// and compressed once for each way that was agreed.
#[derive(Debug)]
pub struct Broadcast {
    opcode: Opcode,
    payload: Bytes,
    frames: Mutex<Vec<(u16, Bytes)>>,
    compressed: Mutex<Vec<(u16, Shape, Compressed)>>,
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

    fn new(opcode: Opcode, payload: &[u8]) -> Self {
        Self {
            opcode,
            payload: Bytes::copy_from_slice(payload),
            frames: Mutex::default(),
            compressed: Mutex::default(),
        }
    }

    /// How many bytes the message has.
    pub(crate) fn len(&self) -> usize {
        self.payload.len()
    }

    fn frame(&self, profile: &Profile) -> Bytes {
        let mut frames = lock(&self.frames);
        if let Some((_, frame)) = frames.iter().find(|(version, _)| *version == profile.version) {
            return frame.clone();
        }
        let parts = FrameParts::around(profile, self.opcode, self.payload.len());
        let frame = Bytes::from([parts.head(), &self.payload, parts.tail()].concat());
        frames.push((profile.version, frame.clone()));
        frame
    }

    /// For the driver: the frame as this deflater would make it without a context.
    pub(crate) fn compressed(&self, profile: &Profile, deflater: &Deflater) -> Compressed {
        // Held while compressing: whoever wants the same waits for it instead of doing it, too.
        let mut compressed = lock(&self.compressed);
        let shape = deflater.shape();
        let known =
            compressed.iter().find(|(version, of, _)| (*version, *of) == (profile.version, shape));
        if let Some((_, _, frame)) = known {
            return frame.clone();
        }
        let mut frame = Vec::new();
        let uses_window = deflater.alone().message(profile, self.opcode, &self.payload, &mut frame);
        let frame = Compressed { frame: Bytes::from(frame), uses_window };
        compressed.push((profile.version, shape, frame.clone()));
        frame
    }
}

impl Handle {
    /// Sends a message that goes to others, too. [`Sent::Nothing`] where the connection is not
    /// open, or its draft has no binary messages.
    pub fn send_shared(&self, message: &Arc<Broadcast>, cork: Cork) -> Sent {
        let mut link = lock(&self.0.link);
        let profile = match link.connection.profile() {
            Some(profile) if link.connection.state() == State::Connected => profile,
            _ => return Sent::Nothing,
        };
        if link.is_gone() || message.opcode == Opcode::Binary && !profile.binary {
            return Sent::Nothing;
        }
        link.count_sent(message.len());
        if link.compresses(message.len()) {
            let piece = Piece::Shared(Arc::clone(message));
            return self.defer(&mut link, piece, message.len(), cork);
        }
        let frame = message.frame(profile);
        self.put_with(&mut link, &[&frame], cork, |out, written| {
            if frame.len() - written < SHARED {
                out.extend(&frame[written..]);
            } else {
                out.push(frame.slice(written..));
            }
        })
    }
}
