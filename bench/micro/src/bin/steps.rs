//! Single steps, so often as is asked: what `bench/micro/instructions` counts the instructions of.

use std::hint::black_box;

use em_websocket::protocol::{
    apply_mask,
    handshake::{self, Handshake, Progress},
    version::RFC_6455,
    Event, Limits, Receiver, Sender,
};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let step = arguments.next().expect("a step");
    let count = arguments.next().and_then(|count| count.parse().ok()).expect("how often");
    match step.as_str() {
        "unmask-1k" => unmask(count),
        "receive-64" => receive(count, 64),
        "receive-1k" => receive(count, 1024),
        "send-64" => send(count),
        "handshake" => open(count),
        _ => panic!("there is no step {step}"),
    }
}

fn unmask(count: u32) {
    let mut bytes = vec![b'x'; 1024];
    for _ in 0..count {
        black_box(apply_mask(black_box(&mut bytes), [1, 2, 3, 4], 0));
    }
}

/// Sixteen text frames of this length in one read. The mask is of zeros, so that they stay as they
/// are.
fn receive(count: u32, len: u16) {
    let mut frame = if len < 126 {
        vec![0x81, 0x80 | len as u8]
    } else {
        [&[0x81, 0xfe], &len.to_be_bytes()[..]].concat()
    };
    frame.extend([0; 4]);
    frame.resize(frame.len() + usize::from(len), b'x');
    let mut read = frame.repeat(16);
    let mut receiver = Receiver::new(&RFC_6455, Limits::default());
    let mut sum = 0;
    for _ in 0..count / 16 {
        receiver.receive(black_box(&mut read), &mut |event: Event<'_>| {
            if let Event::Text(text, _) = event {
                sum += text.len();
            }
        });
    }
    assert_eq!(sum, usize::from(len) * (count as usize / 16 * 16));
}

fn send(count: u32) {
    let sender = Sender::new(&RFC_6455);
    for _ in 0..count {
        let parts = sender.text(black_box(64)).expect("it is open");
        black_box((parts.head(), parts.tail()));
    }
}

fn open(count: u32) {
    let request = b"GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nOrigin: http://example.com\r\nUser-Agent: Mozilla/5.0\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    for _ in 0..count {
        let mut handshake = Handshake::new(false, handshake::RequestLimits::default());
        match handshake.receive(black_box(request)) {
            Progress::Accepted(accepted) => drop(black_box(accepted.response.to_bytes())),
            other => panic!("{other:?}"),
        }
    }
}
