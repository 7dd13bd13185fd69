//! Masking, UTF-8, and frames in and out.

use divan::{black_box, counter::BytesCount, Bencher};
use em_websocket::protocol::{
    apply_mask,
    version::{Profile, RFC_6455},
    Event, Limits, Receiver, Sender,
};

const SIZES: [usize; 3] = [64, 1024, 65_536];
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

fn main() {
    divan::main();
}

#[divan::bench(args = SIZES)]
fn unmask(bencher: Bencher<'_, '_>, len: usize) {
    let mut bytes = vec![b'x'; len];
    bencher.counter(BytesCount::new(len)).bench_local(|| apply_mask(black_box(&mut bytes), KEY, 0));
}

/// The floor of the check of text: ASCII, and text of two and three bytes a character.
mod utf8 {
    use super::*;

    #[divan::bench(args = SIZES)]
    fn ascii(bencher: Bencher<'_, '_>, len: usize) {
        check(bencher, "x".repeat(len));
    }

    #[divan::bench(args = SIZES)]
    fn mixed(bencher: Bencher<'_, '_>, len: usize) {
        let text: String = "κό€x".chars().cycle().take(len).collect();
        let end = (0..=len).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        check(bencher, text[..end].to_owned());
    }

    fn check(bencher: Bencher<'_, '_>, text: String) {
        bencher
            .counter(BytesCount::new(text.len()))
            .bench_local(|| simdutf8::basic::from_utf8(black_box(text.as_bytes())).is_ok());
    }
}

/// A masked frame, whole: the header read, the payload unmasked and, of a text, checked.
mod receive {
    use super::*;

    #[divan::bench(args = SIZES)]
    fn text(bencher: Bencher<'_, '_>, len: usize) {
        whole(bencher, TEXT, len);
    }

    #[divan::bench(args = SIZES)]
    fn binary(bencher: Bencher<'_, '_>, len: usize) {
        whole(bencher, BINARY, len);
    }

    /// As a socket brings the rest of a large frame: to the receiver's own buffer.
    #[divan::bench(args = [65_536])]
    fn text_in_its_own_buffer(bencher: Bencher<'_, '_>, len: usize) {
        let frame = frame(TEXT, len);
        let mut receiver = receiver();
        let mut sum = 0;
        bencher
            .counter(BytesCount::new(len))
            .with_inputs(|| frame[..32 * 1024].to_vec())
            .bench_local_values(|mut first| {
                let mut sink = |event: Event<'_>| sum += size(&event);
                let mut given = first.len();
                receiver.receive(&mut first, &mut sink);
                while given < frame.len() {
                    let (buffer, room) = receiver.buffer().expect("it is inside a payload");
                    let piece = &frame[given..][..room.min(frame.len() - given)];
                    buffer.extend_from_slice(piece);
                    given += piece.len();
                    receiver.received(piece.len(), &mut sink);
                }
            });
        assert!(sum > 0);
    }

    /// Sixteen frames in one read, as under load.
    #[divan::bench(args = [64, 1024])]
    fn sixteen_texts(bencher: Bencher<'_, '_>, len: usize) {
        read(bencher, &frame(TEXT, len).repeat(16), 16 * len);
    }

    fn whole(bencher: Bencher<'_, '_>, first: u8, len: usize) {
        read(bencher, &frame(first, len), len);
    }

    /// Receiving, with the copy that a read from a socket makes.
    fn read(bencher: Bencher<'_, '_>, bytes: &[u8], payload: usize) {
        let mut receiver = receiver();
        let mut input = bytes.to_vec();
        let mut sum = 0;
        bencher.counter(BytesCount::new(payload)).bench_local(|| {
            input.copy_from_slice(bytes);
            let mut sink = |event: Event<'_>| sum += size(&event);
            receiver.receive(black_box(&mut input), &mut sink);
        });
        assert!(sum > 0, "a frame must have come");
    }

    fn receiver() -> Receiver {
        let limits = Limits { frame: usize::MAX, message: usize::MAX, ..Limits::default() };
        let profile: &'static Profile = &RFC_6455;
        Receiver::new(profile, limits)
    }

    fn size(event: &Event<'_>) -> usize {
        match event {
            Event::Text(payload, _) | Event::Binary(payload) => payload.len(),
            other => panic!("{other:?}"),
        }
    }

    fn frame(first: u8, len: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match len {
            0..=125 => frame.push(0x80 | len as u8),
            126..=0xffff => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(len as u16).to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&KEY);
        let begin = frame.len();
        frame.resize(begin + len, b'x');
        apply_mask(&mut frame[begin..], KEY, 0);
        frame
    }
}

/// A frame out: its header made, header and payload put behind each other.
#[divan::bench(args = SIZES)]
fn send(bencher: Bencher<'_, '_>, len: usize) {
    let sender = Sender::new(&RFC_6455);
    let payload = vec![b'x'; len];
    let mut out = Vec::with_capacity(len + 16);
    bencher.counter(BytesCount::new(len)).bench_local(|| {
        out.clear();
        let parts = sender.text(black_box(&payload).len()).expect("it is open");
        out.extend_from_slice(parts.head());
        out.extend_from_slice(&payload);
        out.extend_from_slice(parts.tail());
    });
}
