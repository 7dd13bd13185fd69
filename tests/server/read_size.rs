//! Size of one read.

use std::sync::mpsc;

use em_websocket::server::{ConnectionOptions, Handle, QueueLimits, ReadSize, ServerOptions};

use crate::{
    by_hand::ByHand,
    client::Client,
    reactor::{Reactor, Seen, Setup},
    support::{Kind, RFC_6455},
    tls,
};

const ENOUGH: usize = 1 << 40;

/// Options of a server that reads this much at a time.
fn reads(bytes: usize) -> ServerOptions {
    let read_size = ReadSize::new(bytes).expect("there is such a size");
    ServerOptions { read_size, ..ServerOptions::default() }
}

/// Frames of so many small messages.
fn small(count: usize) -> Vec<u8> {
    RFC_6455.frame(Kind::Binary, &[b's'; 100]).repeat(count)
}

/// The bytes of the messages that each read brings, one after the other: nothing is read while
/// any message waits.
fn read_by_read(read_size: usize, frames: &[u8]) -> Vec<usize> {
    let queue = QueueLimits { messages: 1, bytes: ENOUGH, total: ENOUGH };
    let mut server = ByHand::with(ServerOptions { queue, ..reads(read_size) });
    server.opens = false;
    server.delivers = false;
    let mut client = server.open(b"");
    // All of it is in the socket before any of it is read.
    client.write(frames);
    client.write(&RFC_6455.frame(Kind::Text, b"last"));
    server.openings.clear();
    let mut brought = Vec::new();
    loop {
        server.wait_and_take();
        brought.push(server.waiting());
        if server.messages.drain(..).any(|(_, message)| message == b"last") {
            return brought;
        }
        server.deliver();
    }
}

#[test]
fn a_read_takes_that_much_and_not_more() {
    let frames = small(300);
    for size in [4_096, 5_000, 16_384] {
        let brought = read_by_read(size, &frames);
        assert!(brought.iter().all(|bytes| *bytes <= size), "{size}: {brought:?}");
        let full = size * 100 / 106 - 200;
        assert!(brought.len() > 1 && brought[0] > full, "{size}: {brought:?}");
        assert_eq!(brought.iter().sum::<usize>(), 300 * 100 + 4);
    }
    let brought = read_by_read(65_536, &frames);
    assert!(brought[0] > 16_384, "{brought:?}");
}

#[test]
fn behind_a_large_message_a_read_takes_eight_times_as_much() {
    let mut frames = RFC_6455.frame(Kind::Binary, &[b'l'; 20_000]);
    frames.extend(small(380));
    let brought = read_by_read(4_096, &frames);
    let [large, behind, rest @ ..] = &brought[..] else { panic!("{brought:?}") };
    assert_eq!(*large, 20_000);
    assert!((16_384..=8 * 4_096).contains(behind), "{brought:?}");
    // Those were small ones.
    assert!(!rest.is_empty() && rest.iter().all(|bytes| *bytes <= 4_096), "{brought:?}");
}

#[test]
fn bytes_that_are_handed_on_come_so_many_at_a_time() {
    // Servers of the same threads, which share what the bytes land in.
    let lens = [4_096, 20_000].map(|size| {
        let (tell, accepted) = mpsc::channel();
        let act = move |handle: &Handle, seen: &Seen| {
            if *seen == Seen::Accepted {
                handle.set_paused(true);
                tell.send(handle.clone()).unwrap();
            }
            None
        };
        let reactor = Reactor::start(Setup {
            options: ConnectionOptions { raw: true, ..ConnectionOptions::default() },
            server: reads(size),
            act: Box::new(act),
            ..Setup::default()
        });
        let mut client = Client::connect(reactor.addr());
        let handle = accepted.recv().unwrap();
        client.write(&[b'x'; 40_000]);
        handle.set_paused(false);
        let mut lens = Vec::new();
        while lens.iter().sum::<usize>() < 40_000 {
            let (_, seen) = reactor.wait_for(|seen| matches!(seen, Seen::Bytes(_)));
            let Seen::Bytes(bytes) = seen else { unreachable!("only that is waited for") };
            lens.push(bytes.len());
        }
        lens.into_iter().max()
    });
    assert_eq!(lens, [Some(4_096), Some(20_000)]);
}

#[test]
fn messages_come_whole_however_much_is_read() {
    for size in [*ReadSize::RANGE.start(), 5_000, *ReadSize::RANGE.end()] {
        let server = reads(size);
        let plain = Reactor::start(Setup { server: server.clone(), ..Setup::default() });
        let options = tls::options();
        let secure = Reactor::start(Setup { server, options, ..Setup::default() });
        let mut client = Client::open(plain.addr());
        let mut secret = tls::open(secure.addr());
        for len in [0, size - 1, size, size + 1, 8 * size + 1, 3_000_000] {
            let text: Vec<u8> = (0..len).map(|at| b'a' + (at % 23) as u8).collect();
            client.echo(&text);
            secret.echo(&text);
        }
        let many = small(2_000);
        client.write(&many);
        secret.write(&many);
        for _ in 0..2_000 {
            client.expect(Kind::Binary, &[b's'; 100]);
            secret.expect(Kind::Binary, &[b's'; 100]);
        }
    }
}

#[test]
fn sizes_out_of_the_range_are_none() {
    let (least, most) = ReadSize::RANGE.into_inner();
    assert_eq!((least, most), (4_096, 524_288));
    assert!([least, most].into_iter().all(|bytes| ReadSize::new(bytes).is_some()));
    assert!([0, least - 1, most + 1].into_iter().all(|bytes| ReadSize::new(bytes).is_none()));
}
