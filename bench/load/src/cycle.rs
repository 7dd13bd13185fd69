//! Prebuilt messages: masked frames to send, again and again, and what must come back for them.

/// First byte of a frame (RFC 6455 section 5.2), with FIN.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Bytes of small messages that are all different.
const VARIETY: usize = 16 * 1024;

/// Messages of one size, all different, behind each other, and twice, so that as many as make one
/// round stand in one piece wherever it begins.
#[derive(Debug)]
pub(crate) struct Cycle {
    outgoing: Run,
    incoming: Run,
}

#[derive(Debug)]
struct Run {
    bytes: Vec<u8>,
    frame: usize,
    period: usize,
}

impl Cycle {
    /// Messages of `bytes` bytes, at least `depth` of them different.
    pub(crate) fn new(bytes: usize, depth: usize) -> Self {
        let count = depth.max(VARIETY / bytes.max(1)).max(1);
        Self::of(bytes, count, count)
    }

    /// Messages that are all the same, for what comes in no order.
    pub(crate) fn same(bytes: usize) -> Self {
        Self::of(bytes, (VARIETY / bytes.max(1)).max(1), 1)
    }

    /// Cycle of `count` messages, of which so many are different.
    fn of(bytes: usize, count: usize, different: usize) -> Self {
        let mut outgoing = Vec::new();
        let mut incoming = Vec::new();
        for number in 0..count {
            let payload = text(bytes, number % different);
            append_frame(&mut outgoing, TEXT, &payload, Some(KEY));
            append_frame(&mut incoming, TEXT, &payload, None);
        }
        Self { outgoing: Run::new(outgoing, count), incoming: Run::new(incoming, count) }
    }

    /// The length of a frame to send.
    pub(crate) fn sent_len(&self) -> u64 {
        self.outgoing.frame as u64
    }

    /// The length of a frame that comes back.
    pub(crate) fn returned_len(&self) -> u64 {
        self.incoming.frame as u64
    }

    /// Bytes to send behind `sent` bytes, up to `until` bytes: as much as stands in one piece.
    pub(crate) fn to_send(&self, sent: u64, until: u64) -> &[u8] {
        self.outgoing.piece(sent, until - sent)
    }

    /// True if `bytes` is what must come behind `received` bytes.
    pub(crate) fn is_next(&self, mut received: u64, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let expected = self.incoming.piece(received, bytes.len() as u64);
            let (head, tail) = bytes.split_at(expected.len());
            if head != expected {
                return false;
            }
            received += head.len() as u64;
            bytes = tail;
        }
        true
    }
}

impl Run {
    fn new(mut bytes: Vec<u8>, count: usize) -> Self {
        let period = bytes.len();
        bytes.extend_from_within(..);
        Self { bytes, frame: period / count, period }
    }

    fn piece(&self, from: u64, len: u64) -> &[u8] {
        let start = (from % self.period as u64) as usize;
        let len = len.min(self.period as u64) as usize;
        &self.bytes[start..start + len]
    }
}

/// A masked frame with a binary message: a question to the server.
pub(crate) fn question() -> Vec<u8> {
    let mut frame = Vec::new();
    append_frame(&mut frame, BINARY, b"?", Some(KEY));
    frame
}

/// A masked close frame, 1000.
pub(crate) fn close() -> Vec<u8> {
    let mut frame = Vec::new();
    append_frame(&mut frame, 0x88, &1000_u16.to_be_bytes(), Some(KEY));
    frame
}

/// ASCII that begins with its number.
fn text(bytes: usize, number: usize) -> Vec<u8> {
    let mut state = number as u32 ^ 0x9e37_79b9;
    let mut text = format!("{number} ").into_bytes();
    text.resize_with(bytes.max(text.len()), || {
        // xorshift32
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        b' ' + (state % 95) as u8
    });
    text.truncate(bytes);
    text
}

fn append_frame(to: &mut Vec<u8>, first: u8, payload: &[u8], key: Option<[u8; 4]>) {
    let masked = if key.is_some() { 0x80 } else { 0 };
    to.push(first);
    match payload.len() {
        len @ 0..=125 => to.push(masked | len as u8),
        len @ 126..=0xffff => {
            to.push(masked | 126);
            to.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            to.push(masked | 127);
            to.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    match key {
        Some(key) => {
            to.extend_from_slice(&key);
            to.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        }
        None => to.extend_from_slice(payload),
    }
}

#[cfg(test)]
mod tests {
    use super::{append_frame, Cycle};

    #[test]
    fn frames_are_those_of_rfc_6455_section_5_7() {
        let mut frames = Vec::new();
        append_frame(&mut frames, 0x81, b"Hello", None);
        append_frame(&mut frames, 0x81, b"Hello", Some([0x37, 0xfa, 0x21, 0x3d]));
        assert_eq!(frames, b"\x81\x05Hello\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
    }

    #[test]
    fn what_comes_back_is_compared_wherever_it_is_cut() {
        let cycle = Cycle::new(64, 1);
        let round = cycle.incoming.bytes[..cycle.incoming.period].repeat(3);
        for cut in [0, 1, 65, 66, 67, 20_000] {
            assert!(cycle.is_next(0, &round[..cut]));
            assert!(cycle.is_next(cut as u64, &round[cut..]));
        }
        let mut wrong = round;
        *wrong.last_mut().unwrap() ^= 1;
        assert!(!cycle.is_next(0, &wrong));
    }
}
