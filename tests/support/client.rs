//! A client of plain blocking sockets, of any draft.

// Every test binary takes its part.
#![allow(dead_code)]

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
};

use crate::{
    reactor::PATIENCE,
    support::{Draft, Kind, RFC_6455},
};

pub(crate) struct Client<S = TcpStream> {
    pub(crate) stream: S,
    draft: Draft,
    /// Received, and not read yet.
    received: Vec<u8>,
}

/// A connected socket that gives up after a while.
pub(crate) fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, PATIENCE).expect("a server");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("a TCP socket");
    stream
}

impl Client {
    /// A client whose opening handshake has not begun.
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        Self::on(connect(addr), RFC_6455)
    }

    /// A client of RFC 6455 whose opening handshake is done.
    pub(crate) fn open(addr: SocketAddr) -> Self {
        Self::open_with(addr, b"")
    }

    /// The same, which sends these bytes in the same segment as its request.
    pub(crate) fn open_with(addr: SocketAddr, bytes: &[u8]) -> Self {
        let mut client = Self::connect(addr);
        client.write(&[&request(&RFC_6455), bytes].concat());
        client.expect_status("101");
        client
    }
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn on(stream: S, draft: Draft) -> Self {
        Self { stream, draft, received: Vec::new() }
    }

    /// Does the opening handshake.
    pub(crate) fn draft(&self) -> &Draft {
        &self.draft
    }

    pub(crate) fn handshake(&mut self) {
        self.write(&request(&self.draft));
        self.expect_status("101");
    }

    #[track_caller]
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
        self.stream.flush().expect("the server reads");
    }

    #[track_caller]
    pub(crate) fn send(&mut self, kind: Kind, payload: &[u8]) {
        self.write(&self.draft.frame(kind, payload));
    }

    /// The next frame.
    #[track_caller]
    pub(crate) fn next(&mut self) -> (Kind, Vec<u8>) {
        loop {
            if let Some((kind, payload, taken)) = self.draft.decode(&self.received) {
                self.received.drain(..taken);
                return (kind, payload);
            }
            let len = self.received.len();
            assert!(self.receive(), "the stream ended, {len} bytes into a frame");
        }
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, kind: Kind, payload: &[u8]) {
        let next = self.next();
        // Not `assert_eq`: it would print what may be megabytes.
        assert!(next.0 == kind && next.1 == payload, "{:?} of {} bytes", next.0, next.1.len());
    }

    /// Sends a text and waits for its echo.
    #[track_caller]
    pub(crate) fn echo(&mut self, text: &[u8]) {
        self.send(Kind::Text, text);
        self.expect(Kind::Text, text);
    }

    /// Everything up to the end of the stream.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.receive() {}
        std::mem::take(&mut self.received)
    }

    /// All frames up to the end of the stream.
    #[track_caller]
    pub(crate) fn frames(&mut self) -> Vec<(Kind, Vec<u8>)> {
        let rest = self.rest();
        self.draft.decode_all(&rest)
    }

    /// Reads the header of an HTTP response.
    #[track_caller]
    pub(crate) fn expect_status(&mut self, status: &str) -> String {
        let end = loop {
            if let Some(at) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.receive(), "no response but {:x?}", self.received);
        };
        let header: Vec<u8> = self.received.drain(..end).collect();
        let header = String::from_utf8(header).expect("a header of text");
        assert!(header.starts_with(&format!("HTTP/1.1 {status} ")), "{header}");
        // Draft 76 and 03 end with the 16 bytes of the challenge's answer.
        if header.contains("Sec-WebSocket-Origin") {
            while self.received.len() < 16 {
                assert!(self.receive(), "no answer to the challenge");
            }
            self.received.drain(..16);
        }
        header
    }

    /// Reads once; `false` at the end of the stream, however it came.
    #[track_caller]
    fn receive(&mut self) -> bool {
        let mut piece = vec![0; 64 * 1024];
        match self.stream.read(&mut piece) {
            Ok(0) => false,
            Ok(len) => {
                self.received.extend(&piece[..len]);
                true
            }
            Err(error) if is_the_end(error.kind()) => false,
            Err(error) => panic!("nothing came: {error}"),
        }
    }
}

fn is_the_end(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::UnexpectedEof
    )
}

/// The request of a draft's client, and what belongs behind it.
pub(crate) fn request(draft: &Draft) -> Vec<u8> {
    let asks_for = match draft.version {
        75 => String::new(),
        76 => CHALLENGE.to_owned(),
        version @ 1..=3 => format!("Sec-WebSocket-Draft: {version}\r\n{CHALLENGE}"),
        version => format!(
            "Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        ),
    };
    let third_key = if asks_for.contains("Key1") { "^n:ds[4U" } else { "" };
    format!(
        "GET /chat HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Origin: http://localhost\r\n{asks_for}\r\n{third_key}"
    )
    .into_bytes()
}

const CHALLENGE: &str = "Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n\
                         Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n";
