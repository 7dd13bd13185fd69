//! TLS: both versions, each the wrong end of the other, and a handshake that never comes.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use base64::{engine::general_purpose::STANDARD, Engine};
use em_websocket::{
    protocol::close::CloseCode,
    server::{
        tls::{server_config, TlsHost, TlsOptions},
        ConnectionOptions, Flush, Handle,
    },
};
use rustls::{
    crypto::ring, pki_types::ServerName, version, ClientConfig, ClientConnection, RootCertStore,
    ServerConfig, StreamOwned, SupportedProtocolVersion,
};

use crate::{
    client::{connect, request, Client},
    reactor::{echo, ignore, Reactor, Seen, Setup},
    support::{machine::abrupt, Kind, RFC_6455},
    tls_attacks,
};

/// A certificate made for these tests, from both ends.
struct Identity {
    server: Arc<ServerConfig>,
    roots: RootCertStore,
}

fn identity() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let options = TlsOptions {
            cert: Some(pem("CERTIFICATE", made.cert.der()).into()),
            private_key: Some(pem("PRIVATE KEY", made.signing_key.serialized_der()).into()),
            ..TlsOptions::default()
        };
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        Identity { server: server_config(&options).unwrap().config, roots }
    })
}

fn pem(label: &str, der: &[u8]) -> String {
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        pem.push_str(std::str::from_utf8(line).unwrap());
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}

/// Options of a server that encrypts.
pub(crate) fn options() -> ConnectionOptions {
    ConnectionOptions {
        tls: Some(Arc::clone(&identity().server)),
        secure: true,
        ..ConnectionOptions::default()
    }
}

/// A client that trusts the server's certificate, and speaks these versions.
pub(crate) fn client_config(versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots())
        .with_no_client_auth();
    Arc::new(config)
}

/// Certificates by which a client trusts the server.
pub(crate) fn roots() -> RootCertStore {
    identity().roots.clone()
}

pub(crate) fn server_name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

pub(crate) type TlsClient = Client<StreamOwned<ClientConnection, std::net::TcpStream>>;

/// A client whose handshakes are done.
pub(crate) fn open(addr: SocketAddr) -> TlsClient {
    open_with(addr, &[&version::TLS13])
}

/// The same, of these versions.
pub(crate) fn open_with(
    addr: SocketAddr,
    versions: &[&'static SupportedProtocolVersion],
) -> TlsClient {
    let session = ClientConnection::new(client_config(versions), server_name()).unwrap();
    let mut client = Client::on(StreamOwned::new(session, connect(addr)), RFC_6455);
    client.handshake();
    client
}

#[test]
fn both_versions_are_spoken() {
    let reactor = Reactor::with_options(options());
    for tls in [&version::TLS12, &version::TLS13] {
        let mut client = open_with(reactor.addr(), &[tls]);
        assert_eq!(client.stream.conn.protocol_version(), Some(tls.version));
        for len in [0, 1, 16_384, 65_536, 1_000_000] {
            client.echo(&vec![b'x'; len]);
        }
        client.send(Kind::Close, b"\x03\xe8");
        client.expect(Kind::Close, b"\x03\xe8");
        // The end is told (RFC 8446 section 6.1), not cut off.
        assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
    }
}

#[test]
fn a_client_that_sends_its_request_together_with_its_finished_is_answered() {
    let reactor = Reactor::with_options(options());
    let early = [request(&RFC_6455), RFC_6455.frame(Kind::Text, b"early")].concat();
    let mut missing = 0;
    loop {
        let mut session = tls_attacks::session(&version::TLS13);
        let mut socket = connect(reactor.addr());
        socket.set_nodelay(true).unwrap();
        let finished = tls_attacks::second_flight(&mut session, &mut socket);
        session.writer().write_all(&early).unwrap();
        let bytes = [finished, tls_attacks::flight(&mut session)].concat();
        if missing >= bytes.len() {
            break;
        }
        // What is missing, of the request's record or of Finished, comes later.
        let (first, last) = bytes.split_at(bytes.len() - missing);
        socket.write_all(first).unwrap();
        thread::sleep(Duration::from_millis(5));
        socket.write_all(last).unwrap();
        let mut client = Client::on(StreamOwned::new(session, socket), RFC_6455);
        client.expect_status("101");
        client.expect(Kind::Text, b"early");
        client.echo(b"late");
        missing += 17;
    }
}

#[test]
fn many_small_messages_over_tls_keep_their_order() {
    let reactor = Reactor::with_options(options());
    let mut client = open(reactor.addr());
    let texts: Vec<String> = (0..500).map(|i| format!("message {i}")).collect();
    let frames: Vec<u8> =
        texts.iter().flat_map(|text| RFC_6455.frame(Kind::Text, text.as_bytes())).collect();
    client.write(&frames);
    for text in &texts {
        client.expect(Kind::Text, text.as_bytes());
    }
}

#[test]
fn large_and_small_messages_behind_each_other_are_told_apart() {
    let reactor = Reactor::with_options(options());
    let mut client = open(reactor.addr());
    for large in [8_193, 16_384, 65_536, 300_000] {
        let texts: Vec<Vec<u8>> = (0..60)
            .map(|i| vec![b'a' + (i % 26) as u8; if i % 6 == 0 { large + i } else { i }])
            .collect();
        let frames: Vec<Vec<u8>> =
            texts.iter().map(|text| RFC_6455.frame(Kind::Text, text)).collect();
        thread::scope(|scope| {
            // Both directions go through the one session, and neither may wait for the other.
            let (session, socket) = (&mut client.stream.conn, &client.stream.sock);
            let mut records = Vec::new();
            session.set_buffer_limit(None);
            session.writer().write_all(&frames.concat()).unwrap();
            while session.wants_write() {
                session.write_tls(&mut records).unwrap();
            }
            let mut writer = socket.try_clone().unwrap();
            scope.spawn(move || writer.write_all(&records).unwrap());
            for text in &texts {
                client.expect(Kind::Text, text);
            }
        });
    }
}

#[test]
fn a_tls_client_that_reads_late_gets_everything_in_order_and_the_end() {
    let reactor =
        Reactor::start(Setup { options: options(), act: Box::new(ignore), ..Setup::default() });
    let mut client = open(reactor.addr());
    let handle = reactor.wait_for_open();
    let text = |i: usize| {
        let len = [5, 700, 20_000, 70_000, 200_000][i % 5];
        [i.to_string().into_bytes(), vec![b'.'; len]].concat()
    };
    let mut count = 0;
    // More than the session and the socket hold.
    while handle.outbound_len() < 1_000_000 {
        let cork = if count % 3 == 0 { Flush::Later } else { Flush::Now };
        handle.send_text(&text(count), cork).unwrap();
        if count % 7 == 0 {
            handle.flush();
        }
        count += 1;
    }
    handle.close(Some(CloseCode::GOING_AWAY), "enough");
    for i in 0..count {
        client.expect(Kind::Text, &text(i));
    }
    client.expect(Kind::Close, b"\x03\xe9enough");
    client.send(Kind::Close, b"\x03\xe9");
    assert_eq!(client.stream.read(&mut [0]).unwrap(), 0, "the end is told");
}

#[test]
fn a_tls_client_that_takes_nothing_is_let_go() {
    let options =
        ConnectionOptions { write_timeout: Some(Duration::from_millis(200)), ..options() };
    let reactor = Reactor::start(Setup { options, act: Box::new(ignore), ..Setup::default() });
    let _client = open(reactor.addr());
    let handle = reactor.wait_for_open();
    while handle.outbound_len() == 0 {
        handle.send_text(&[b'x'; 70_000], Flush::Now).unwrap();
    }
    assert_eq!(reactor.wait_for_closed(), abrupt());
    assert_eq!(reactor.server().stats().stalled, 1);
}

#[test]
fn a_client_is_served_the_certificate_of_the_name_that_it_asks_for() {
    let host = rcgen::generate_simple_self_signed(["chat.example".to_owned()]).unwrap();
    let made = server_config(&TlsOptions {
        hosts: vec![(
            "*.example".into(),
            TlsHost {
                cert: Some(pem("CERTIFICATE", host.cert.der()).into()),
                private_key: Some(pem("PRIVATE KEY", host.signing_key.serialized_der()).into()),
                ..TlsHost::default()
            },
        )],
        ..TlsOptions::default()
    });
    let options = ConnectionOptions { tls_hosts: made.unwrap().hosts, ..options() };
    let reactor = Reactor::with_options(options);
    let mut trusted = roots();
    trusted.add(host.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let config = Arc::new(config);
    for name in ["chat.example", "localhost", "CHAT.example"] {
        let name = ServerName::try_from(name).unwrap();
        // A client looks at the name in the certificate.
        let session = ClientConnection::new(Arc::clone(&config), name).unwrap();
        let socket = connect(reactor.addr());
        let mut client = Client::on(StreamOwned::new(session, socket), RFC_6455);
        client.handshake();
        client.echo(b"hello");
    }
}

#[test]
fn a_tls_client_on_a_plain_port_is_refused_as_garbage() {
    let reactor = Reactor::echo();
    let mut bystander = Client::open(reactor.addr());
    let session = ClientConnection::new(client_config(&[&version::TLS13]), server_name()).unwrap();
    let mut stream = StreamOwned::new(session, connect(reactor.addr()));
    assert!(stream.write_all(b"hello").and_then(|()| stream.flush()).is_err());
    let (_, seen) = reactor.wait_for(|seen| matches!(seen, Seen::Rejected(_)));
    let Seen::Rejected(text) = seen else { unreachable!() };
    assert!(
        text.starts_with("Invalid HTTP header: Could not parse data entirely (0 != "),
        "{text}"
    );
    assert_eq!(reactor.wait_for_closed(), abrupt());
    bystander.echo(b"still here");
}

#[test]
fn a_plain_client_on_a_tls_port_is_let_go() {
    let reactor = Reactor::with_options(options());
    let mut bystander = open(reactor.addr());
    reactor.wait_for_open();
    let mut client = Client::connect(reactor.addr());
    client.write(&crate::client::request(&RFC_6455));
    // At most an alert comes back; and no callback is called but the end.
    let rest = client.rest();
    assert!(rest.is_empty() || rest[0] == 0x15, "{rest:x?}");
    assert_eq!(reactor.story(1), [Seen::Accepted, Seen::Closed(abrupt())]);
    bystander.echo(b"still here");
}

#[test]
fn a_tls_handshake_that_never_comes_times_out() {
    let reactor = Reactor::with_options(ConnectionOptions {
        handshake_timeout: Duration::from_millis(100),
        ..options()
    });
    let mut client = Client::connect(reactor.addr());
    assert!(client.rest().is_empty());
    assert_eq!(reactor.story(0), [Seen::Accepted, Seen::Closed(abrupt())]);
}

#[test]
fn a_websocket_handshake_that_never_comes_over_tls_times_out() {
    let reactor = Reactor::with_options(ConnectionOptions {
        handshake_timeout: Duration::from_millis(400),
        ..options()
    });
    let session = ClientConnection::new(client_config(&[&version::TLS13]), server_name()).unwrap();
    let mut client = Client::on(StreamOwned::new(session, connect(reactor.addr())), RFC_6455);
    client.write(b"GET / HTTP/1.1\r\n");
    assert!(client.rest().is_empty());
    let refused = Seen::Rejected("Opening handshake timed out".into());
    assert_eq!(reactor.story(0), [Seen::Accepted, refused, Seen::Closed(abrupt())]);
}

#[test]
fn a_client_that_trusts_another_certificate_hurts_nobody() {
    let reactor = Reactor::with_options(options());
    let mut bystander = open(reactor.addr());
    reactor.wait_for_open();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let session = ClientConnection::new(Arc::new(config), server_name()).unwrap();
    let mut stream = StreamOwned::new(session, connect(reactor.addr()));
    assert!(stream.write_all(b"x").is_err());
    drop(stream);
    assert_eq!(reactor.wait_for_closed(), abrupt());
    bystander.echo(b"still here");
}

#[test]
fn the_application_is_told_of_tls_where_it_wants_to_be() {
    let act = |handle: &Handle, seen: &Seen| {
        let session = handle.tls_session();
        match seen {
            Seen::Accepted => assert_eq!(session, None),
            Seen::Secured => {
                let session = session.unwrap();
                assert_eq!(session.server_name.as_deref(), Some("localhost"));
                assert_eq!(session.protocol, Some("TLSv1.3"));
                assert!(session.peer_certificates.is_empty());
            }
            _ => assert!(session.is_some()),
        }
        echo(handle, seen)
    };
    let options = ConnectionOptions { awaits_tls_verify: true, ..options() };
    let reactor = Reactor::start(Setup { options, act: Box::new(act), ..Setup::default() });
    let mut client = open(reactor.addr());
    client.echo(b"hello");
    drop(client);
    let story = reactor.story(0);
    assert_eq!(story[..3], [Seen::Accepted, Seen::Secured, Seen::Open(13)]);
}
