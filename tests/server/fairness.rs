//! Nobody waits for what is done for somebody else.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use em_websocket::{
    protocol::deflate::Config,
    server::{Broadcast, ConnectionOptions, Flush, Handle},
};

use crate::{
    client::Client,
    reactor::{Reactor, Seen},
    support::{Kind, RFC_6455},
};

/// Bytes that compressing takes its time for, to make half of them.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b'a' + (state >> 28) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// So long that it takes hundreds of milliseconds.
const LONG: usize = 3_000_000;

struct Busy {
    reactor: Reactor,
    bystander: Client,
    /// Those of the connections that compress, and their clients.
    handles: Vec<Handle>,
    clients: Vec<Client>,
}

impl Busy {
    /// Opens this many connections that have agreed to compress, and one that has not.
    fn new(count: usize) -> Self {
        let compression = Some(Config { level: 9, ..Config::default() });
        let options = ConnectionOptions { compression, ..ConnectionOptions::default() };
        let reactor = Reactor::with_options(options);
        let clients = (0..count).map(|_| Self::compressing(&reactor)).collect();
        let handles = (0..count).map(|_| reactor.wait_for_open()).collect();
        let bystander = Client::open(reactor.addr());
        Self { reactor, bystander, handles, clients }
    }

    fn compressing(reactor: &Reactor) -> Client {
        let mut client = Client::connect(reactor.addr());
        let request = String::from_utf8(crate::client::request(&RFC_6455)).unwrap();
        let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
        client.write(request.replacen("\r\n\r\n", &format!("\r\n{offer}"), 1).as_bytes());
        assert!(client.expect_status("101").contains("permessage-deflate"));
        client
    }

    /// Nobody's is done, so nothing that has happened until now has waited for it.
    #[track_caller]
    fn assert_all_busy(&self) {
        let busy = self.handles.iter().filter(|handle| handle.outbound_len() > 0).count();
        assert_eq!(busy, self.handles.len(), "are still being compressed for");
    }

    #[track_caller]
    fn assert_others_are_served(&mut self) {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(100) {
            self.bystander.send(Kind::Ping, b"there?");
            self.bystander.expect(Kind::Pong, b"there?");
        }
        self.assert_all_busy();
    }
}

#[test]
fn a_bystander_is_answered_while_many_compress_what_is_their_own() {
    let mut busy = Busy::new(12);
    let message = noise(LONG);
    for handle in &busy.handles {
        handle.send_binary(&message, Flush::Now).unwrap();
    }
    busy.assert_others_are_served();
}

#[test]
fn a_bystander_is_answered_while_many_wait_for_one_broadcast() {
    let mut busy = Busy::new(12);
    let message = Arc::new(Broadcast::binary(&noise(LONG)));
    for handle in &busy.handles {
        handle.send_shared(&message, Flush::Now);
    }
    busy.assert_others_are_served();
}

#[test]
fn a_stop_waits_for_nobody_who_compresses() {
    let busy = Busy::new(12);
    // To wait for one of them would take seconds, for all of them many.
    let bytes = noise(LONG * 5);
    let message = Arc::new(Broadcast::binary(&bytes));
    for (number, handle) in busy.handles.iter().enumerate() {
        if number % 2 == 0 {
            handle.send_shared(&message, Flush::Now);
        } else {
            handle.send_binary(&bytes, Flush::Now).unwrap();
        }
    }
    busy.reactor.server().stop_listening();
    std::net::TcpListener::bind(busy.reactor.addr()).expect("the port is free");
    busy.assert_all_busy();
    let begin = Instant::now();
    busy.reactor.server().stop().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
}

/// The connection that the frame was begun for is gone before it is made.
#[test]
fn a_broadcast_reaches_the_others_where_the_first_is_aborted() {
    let mut busy = Busy::new(4);
    let message = Arc::new(Broadcast::binary(&noise(LONG / 10)));
    for handle in &busy.handles {
        handle.send_shared(&message, Flush::Now);
        handle.send_text(b"behind it", Flush::Now).unwrap();
    }
    busy.handles[0].abort();
    busy.reactor.wait_for(|seen| matches!(seen, Seen::Closed(_)));
    let frames: Vec<_> = busy.clients[1..].iter_mut().map(compressed_frame).collect();
    assert!(frames.iter().all(|frame| *frame == frames[0] && frame.len() > 1000));
    for client in &mut busy.clients[1..] {
        client.expect(Kind::Text, b"behind it");
    }
}

/// The next frame, which is a compressed one: the reader of [`Client`] knows none.
fn compressed_frame(client: &mut Client) -> Vec<u8> {
    use std::io::Read;
    let mut header = [0; 10];
    client.stream.read_exact(&mut header).unwrap();
    assert_eq!(header[..2], [0xc2, 127]);
    let mut frame = vec![0; u64::from_be_bytes(header[2..].try_into().unwrap()) as usize];
    client.stream.read_exact(&mut frame).unwrap();
    frame
}
