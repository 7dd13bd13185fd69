//! TLS that is garbage, cut short, slow or too much: the connection ends, soon, and nobody else
//! notices.

mod ends;
mod hello;
mod records;
mod resumption;
mod slow;

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use em_websocket::server::ConnectionOptions;
use rustls::{
    version::{TLS12, TLS13},
    ClientConnection, SupportedProtocolVersion,
};

use crate::{
    client::{self, Client},
    reactor::{Reactor, Seen},
    support::{machine::abrupt, RFC_6455},
    tls::{client_config, open, options, server_name, TlsClient},
};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// Long before a handshake would time out.
const SOON: Duration = Duration::from_secs(5);

/// A server with a connection that must not notice.
struct Target {
    reactor: Reactor,
    bystander: TlsClient,
    /// The number of the next connection.
    next: u32,
}

impl Target {
    fn new() -> Self {
        Self::with_options(options())
    }

    fn with_options(options: ConnectionOptions) -> Self {
        let reactor = Reactor::with_options(options);
        let bystander = open(reactor.addr());
        reactor.wait_for_open();
        Self { reactor, bystander, next: 1 }
    }

    /// The number of a connection that is about to be made.
    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    fn connect(&self) -> TcpStream {
        client::connect(self.reactor.addr())
    }

    /// Story of a connection, which has ended. The bystander has not noticed.
    #[track_caller]
    fn story(&mut self, connection: u32) -> Vec<Seen> {
        let story = self.reactor.story(connection);
        self.bystander.echo(b"still here");
        story
    }

    /// Sends bytes as they are, then perhaps the end of the stream; what comes back before the
    /// server ends the connection, which it does at once. The application is told of no more than
    /// that it came and went.
    #[track_caller]
    fn attack(&mut self, bytes: &[u8], then: Then) -> Vec<u8> {
        let number = self.number();
        let since = Instant::now();
        let mut client = Client::on(self.connect(), RFC_6455);
        send(&mut client.stream, bytes);
        if then == Then::Eof {
            // It may have been reset.
            let _ = client.stream.shutdown(Shutdown::Write);
        }
        let rest = client.rest();
        assert_eq!(self.story(number), [Seen::Accepted, Seen::Closed(abrupt())]);
        assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
        rest
    }
}

/// Act of a client that has sent everything.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Then {
    /// It sends no more.
    Eof,
    /// It waits.
    Wait,
}

/// Writes all of it, or as much as the server takes before it hangs up.
fn send(stream: &mut TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
}

/// A TLS client of one version, whose bytes a test carries to the server and back.
pub(crate) fn session(version: &'static SupportedProtocolVersion) -> ClientConnection {
    ClientConnection::new(client_config(&[version]), server_name()).unwrap()
}

/// Bytes that the client would send now.
pub(crate) fn flight(session: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// Sends the client's first flight, and waits for the server's answer; what the client would send
/// next.
pub(crate) fn second_flight(session: &mut ClientConnection, stream: &mut TcpStream) -> Vec<u8> {
    stream.write_all(&flight(session)).unwrap();
    let mut bytes = [0; 4096];
    while !session.wants_write() {
        let len = stream.read(&mut bytes).unwrap();
        assert_ne!(len, 0, "the server hung up");
        let mut received = &bytes[..len];
        while !received.is_empty() {
            session.read_tls(&mut received).unwrap();
            session.process_new_packets().unwrap();
        }
    }
    flight(session)
}

/// The description of an alert (RFC 8446 section 6), which is all that came.
#[track_caller]
fn alert(bytes: &[u8]) -> u8 {
    match bytes {
        [0x15, 3, _, 0, 2, 2, description] => *description,
        _ => panic!("no fatal alert but {bytes:x?}"),
    }
}
