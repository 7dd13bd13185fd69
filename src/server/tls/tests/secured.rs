//! A session beside its socket, once the handshake is done.

use std::net::TcpListener;

use tokio::net::TcpStream;

use super::*;
use crate::server::{outbound::buffer::OutboundBuffer, sync::split};

/// Both ends of a connection on loopback, the server's within tokio.
fn sockets() -> (std::net::TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    server.set_nonblocking(true).unwrap();
    (client, TcpStream::from_std(server).unwrap())
}

#[test]
fn the_first_answer_does_not_wait_for_the_acknowledgment_of_the_ticket() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let _inside = runtime.enter();
    for tcp_nodelay in [false, true] {
        let server = server(&Identity::ecdsa().options());
        let session = handshake(&client(&version::TLS13), &server).unwrap().server;
        let (_client, socket) = sockets();
        socket.set_nodelay(tcp_nodelay).unwrap();
        let (reader, writer) = split(socket);
        let mut secured = Secured::new(session, writer);
        assert!(reader.as_ref().nodelay().unwrap());
        runtime.block_on(reader.as_ref().writable()).unwrap();

        let mut out = OutboundBuffer::default();
        out.extend(b"answer");
        assert!(secured.flush(&mut out, false).unwrap());
        assert_eq!(reader.as_ref().nodelay().unwrap(), tcp_nodelay);
    }
}
