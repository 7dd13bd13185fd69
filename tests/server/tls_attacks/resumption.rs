//! Sessions that are resumed, and those that are not; data before the handshake, which is never
//! taken.

use std::{io::Write, ops::DerefMut, sync::Arc};

use em_websocket::server::ConnectionOptions;
use rustls::{
    crypto::ring, server::ServerSessionMemoryCache, version::TLS13, ClientConfig, ClientConnection,
    ConnectionCommon, HandshakeKind, ServerConfig, ServerConnection, SideData, StreamOwned,
};

use super::{flight, Target, Then, VERSIONS};
use crate::{
    client::{request, Client},
    reactor::Seen,
    support::{machine::clean, Kind, RFC_6455},
    tls::{client_config, options, server_name, TlsClient},
};

impl Target {
    fn open_as(&mut self, config: &Arc<ClientConfig>) -> TlsClient {
        let session = ClientConnection::new(Arc::clone(config), server_name()).unwrap();
        let mut client = Client::on(StreamOwned::new(session, self.connect()), RFC_6455);
        client.handshake();
        client.echo(b"hello");
        client
    }
}

#[test]
fn a_client_that_comes_back_resumes_its_session() {
    let mut target = Target::new();
    for version in VERSIONS {
        let config = client_config(&[version]);
        let mut kinds = Vec::new();
        for _ in 0..4 {
            let client = target.open_as(&config);
            kinds.push(client.stream.conn.handshake_kind().unwrap());
        }
        assert_eq!(kinds[0], HandshakeKind::Full);
        assert_eq!(kinds[1..], [HandshakeKind::Resumed; 3], "{version:?}");
    }
    target.bystander.echo(b"still here");
}

#[test]
fn a_session_of_another_server_is_not_resumed() {
    let (mut one, mut other) = (Target::new(), Target::with_options(another_server()));
    for version in VERSIONS {
        let config = client_config(&[version]);
        one.open_as(&config);
        let client = other.open_as(&config);
        assert_eq!(client.stream.conn.handshake_kind(), Some(HandshakeKind::Full), "{version:?}");
    }
}

/// With the same certificate, and tickets and sessions of its own.
fn another_server() -> ConnectionOptions {
    let mut config = ServerConfig::clone(&options().tls.unwrap());
    config.ticketer = ring::Ticketer::new().unwrap();
    config.session_storage = ServerSessionMemoryCache::new(16);
    ConnectionOptions { tls: Some(Arc::new(config)), ..options() }
}

#[test]
fn no_data_is_taken_before_the_handshake() {
    let mut target = Target::new();
    let mut config = ClientConfig::clone(&client_config(&[&TLS13]));
    config.enable_early_data = true;
    let config = Arc::new(config);
    let client = target.open_as(&config);
    drop(client);
    // The ticket does not allow it.
    let mut session = ClientConnection::new(config, server_name()).unwrap();
    assert!(session.early_data().is_none());
}

#[test]
fn data_before_the_handshake_is_passed_over() {
    let mut target = Target::new();
    let mut session = ClientConnection::new(with_early_ticket(), server_name()).unwrap();
    let early = b"GET /early HTTP/1.1\r\n\r\n";
    session.early_data().unwrap().write_all(early).unwrap();
    let number = target.number();
    let mut client = Client::on(StreamOwned::new(session, target.connect()), RFC_6455);
    client.handshake();
    assert!(!client.stream.conn.is_early_data_accepted());
    client.send(Kind::Close, b"\x03\xe8");
    client.expect(Kind::Close, b"\x03\xe8");
    assert_eq!(
        target.story(number)[1..],
        [
            Seen::Open(13),
            Seen::Close(Some(1000), b"\x03\xe8".to_vec()),
            Seen::Closed(clean(1000, ""))
        ]
    );
}

#[test]
fn much_data_before_the_handshake_ends_the_connection() {
    let mut target = Target::new();
    let mut session = ClientConnection::new(with_early_ticket(), server_name()).unwrap();
    let flood = request(&RFC_6455).repeat(200);
    session.early_data().unwrap().write_all(&flood).unwrap();
    let answer = target.attack(&flight(&mut session), Then::Wait);
    assert!(!answer.is_empty());
}

/// A client with a ticket that allows early data; it is of a server that has nothing to do with
/// ours but the certificate.
fn with_early_ticket() -> Arc<ClientConfig> {
    let resolver = Arc::clone(&options().tls.unwrap().cert_resolver);
    let mut server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    server.max_early_data_size = 1 << 20;
    let mut config = ClientConfig::clone(&client_config(&[&TLS13]));
    config.enable_early_data = true;
    let config = Arc::new(config);
    let mut client = ClientConnection::new(Arc::clone(&config), server_name()).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    while client.wants_write() || server.wants_write() {
        carry(&flight(&mut client), &mut server);
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        carry(&bytes, &mut client);
    }
    config
}

fn carry<D: SideData>(mut bytes: &[u8], to: &mut impl DerefMut<Target = ConnectionCommon<D>>) {
    while !bytes.is_empty() {
        to.read_tls(&mut bytes).unwrap();
        to.process_new_packets().unwrap();
    }
}
