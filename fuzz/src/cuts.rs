//! However the network cuts them, the bytes are the same.

use em_websocket::protocol::{Budget, Event, Receiver, Sink};

use crate::{input::Input, support::machine::Seen};

/// Lengths of pieces, over and over.
#[derive(Clone, Debug)]
pub(crate) struct Cuts(Vec<usize>);

/// Way in which a piece reaches the receiver.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// From a buffer of the caller's, always.
    Receive,
    /// As the server reads: into the payload's own buffer where there is one.
    Direct,
}

/// Byte by byte takes long.
const SINGLE_BYTES_UP_TO: usize = 2_000;

/// Number of pieces behind which the rest comes in one.
const MOST_PIECES: usize = 2_000;

impl Cuts {
    /// Up to fifteen lengths; bytes from 0x80 on stand for long pieces.
    pub(crate) fn read(input: &mut Input<'_>) -> Self {
        let count = input.byte() % 16;
        let length = |byte: u8| match usize::from(byte) {
            short @ ..0x80 => short,
            long => (long - 0x7f) * 251,
        };
        Self((0..count).map(|_| length(input.byte())).collect())
    }

    pub(crate) fn whole() -> Self {
        Self(Vec::new())
    }

    fn single() -> Self {
        Self(vec![1])
    }

    /// These, and byte by byte.
    pub(crate) fn and_single(self, len: usize) -> Vec<Self> {
        let mut all = vec![self];
        if len <= SINGLE_BYTES_UP_TO {
            all.push(Self::single());
        }
        all
    }

    /// The pieces of so many bytes, by their lengths.
    fn lengths(&self, mut left: usize) -> impl Iterator<Item = usize> + '_ {
        let progresses = self.0.iter().any(|len| *len > 0);
        let lengths = if progresses { &self.0[..] } else { &[usize::MAX] };
        let mut lengths = lengths.iter().cycle().take(MOST_PIECES).chain([&usize::MAX]);
        std::iter::from_fn(move || {
            let len = *lengths.next().filter(|_| left > 0)?.min(&left);
            left -= len;
            Some(len)
        })
    }

    pub(crate) fn pieces<'a>(&'a self, mut bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.lengths(bytes.len()).map(move |len| {
            let (piece, behind) = bytes.split_at(len);
            bytes = behind;
            piece
        })
    }
}

/// Events that a receiver makes of the bytes.
pub(crate) fn heard(receiver: Receiver, bytes: &[u8], cuts: &Cuts, way: Way) -> Vec<Seen> {
    let mut seen = Vec::new();
    hear(receiver, &mut bytes.to_vec(), cuts, way, &mut |event| seen.push(Seen::from(event)));
    seen
}

/// Gives a receiver the bytes, and makes sure that nothing comes behind the end.
pub(crate) fn hear(
    mut receiver: Receiver,
    bytes: &mut [u8],
    cuts: &Cuts,
    way: Way,
    sink: &mut impl FnMut(Event<'_>),
) {
    let mut is_over = false;
    let mut sink = |event: Event<'_>| {
        assert!(!is_over, "{event:?} behind the end");
        is_over = matches!(event, Event::Close(_) | Event::Error(_));
        sink(event);
    };
    let mut rest = bytes;
    for len in cuts.lengths(rest.len()) {
        let (mut piece, behind) = rest.split_at_mut(len);
        rest = behind;
        if let Way::Receive = way {
            receiver.receive(piece, &mut sink);
            continue;
        }
        while !piece.is_empty() {
            let taken = match receiver.buffer() {
                Some((buffer, limit)) => {
                    assert!(limit > 0);
                    let taken = limit.min(piece.len());
                    buffer.extend_from_slice(&piece[..taken]);
                    receiver.received(taken, &mut sink);
                    taken
                }
                None => {
                    let inflated = 1 + piece.len() % 700;
                    give(&mut receiver, piece, inflated, &mut sink);
                    piece.len()
                }
            };
            piece = &mut piece[taken..];
        }
    }
    assert!(rest.is_empty(), "pieces are missing");
    assert_eq!(receiver.is_done(), is_over);
}

/// Gives a receiver the bytes within a budget, as often as that takes.
fn give(receiver: &mut Receiver, mut bytes: &mut [u8], inflated: usize, sink: &mut impl Sink) {
    loop {
        let before = receiver.unfinished();
        let left = receiver.receive_within(bytes, Budget { frames: 3, inflated }, sink);
        // What a step makes goes past it.
        assert!(receiver.unfinished() <= before + bytes.len() + inflated + 64 * 1024);
        if left == 0 {
            return;
        }
        let taken = bytes.len() - left;
        bytes = &mut bytes[taken..];
    }
}
