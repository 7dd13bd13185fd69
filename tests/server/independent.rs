//! Clients that nobody here wrote: tokio-tungstenite and fastwebsockets, plain and through TLS.

use std::future::Future;

use em_websocket::{protocol::close::CloseCode, server::Handle, server::MessageKind, server::Sent};
use fastwebsockets::{Frame, OpCode, Payload, Role, WebSocket};
use futures_util::{SinkExt, StreamExt};
use rustls::version;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    client_async,
    tungstenite::{
        protocol::{frame::coding::CloseCode as Code, CloseFrame},
        Error, Message,
    },
};

use crate::{
    reactor::{echo, Reactor, Seen, Setup, PATIENCE},
    support::{machine::clean, RFC_6455},
    tls,
};

const SIZES: [usize; 9] = [0, 1, 125, 126, 65_535, 65_536, 100_000, 1 << 20, 4 << 20];

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Echoes, and closes when it is asked to.
fn server(encrypted: bool) -> Reactor {
    let options = if encrypted { tls::options() } else { Default::default() };
    let act = |handle: &Handle, seen: &Seen| -> Option<Sent> {
        if *seen == Seen::Message(MessageKind::Text, b"please close".to_vec()) {
            handle.close(Some(CloseCode(4001)), "bye");
            return None;
        }
        echo(handle, seen)
    };
    Reactor::start(Setup { options, act: Box::new(act), ..Setup::default() })
}

/// Runs a client against a plain server and against one that encrypts.
fn on_both<C, F>(client: C)
where
    C: Fn(Box<dyn Io>, Reactor) -> F,
    F: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for encrypted in [false, true] {
        let reactor = server(encrypted);
        let whole = async {
            let stream = TcpStream::connect(reactor.addr()).await.unwrap();
            let stream: Box<dyn Io> = if encrypted {
                let connector = TlsConnector::from(tls::client_config(&[&version::TLS13]));
                Box::new(connector.connect(tls::server_name(), stream).await.unwrap())
            } else {
                Box::new(stream)
            };
            client(stream, reactor).await;
        };
        runtime
            .block_on(async { tokio::time::timeout(2 * PATIENCE, whole).await })
            .expect("in time");
    }
}

fn text(len: usize) -> String {
    "abcdefghi\n".chars().cycle().take(len).collect()
}

#[test]
fn tungstenite_hears_its_echo() {
    on_both(|stream, reactor| async move {
        let (mut socket, response) = client_async("ws://localhost/chat", stream).await.unwrap();
        assert_eq!(response.status(), 101);
        for size in SIZES {
            let text = Message::text(text(size));
            socket.send(text.clone()).await.unwrap();
            assert!(socket.next().await.unwrap().unwrap() == text, "{size}");
            let bytes = Message::binary(vec![0xfe; size]);
            socket.send(bytes.clone()).await.unwrap();
            assert!(socket.next().await.unwrap().unwrap() == bytes, "{size}");
        }
        socket.send(Message::Ping("are you there".into())).await.unwrap();
        let pong = socket.next().await.unwrap().unwrap();
        assert_eq!(pong, Message::Pong("are you there".into()));
        reactor.handle(0).ping(b"and you", em_websocket::server::Flush::Now).unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::Ping("and you".into()));
        socket.flush().await.unwrap();
        reactor.wait_for(|seen| *seen == Seen::Message(MessageKind::Pong, b"and you".to_vec()));
    });
}

#[test]
fn tungstenite_closes() {
    on_both(|stream, reactor| async move {
        let (mut socket, _) = client_async("ws://localhost/chat", stream).await.unwrap();
        let frame = CloseFrame { code: Code::Normal, reason: "done".into() };
        socket.close(Some(frame)).await.unwrap();
        let reply = socket.next().await.unwrap().unwrap();
        let expected = CloseFrame { code: Code::Normal, reason: "".into() };
        assert_eq!(reply, Message::Close(Some(expected)));
        assert!(socket.next().await.is_none(), "the stream ends");
        assert_eq!(reactor.wait_for_closed(), clean(1000, "done"));
    });
}

#[test]
fn tungstenite_is_closed() {
    on_both(|stream, reactor| async move {
        let (mut socket, _) = client_async("ws://localhost/chat", stream).await.unwrap();
        socket.send(Message::text("please close")).await.unwrap();
        let close = socket.next().await.unwrap().unwrap();
        let expected = CloseFrame { code: Code::Library(4001), reason: "bye".into() };
        assert_eq!(close, Message::Close(Some(expected)));
        // It answers while it waits for the end.
        let end = socket.next().await;
        assert!(matches!(end, None | Some(Err(Error::ConnectionClosed))), "{end:?}");
        assert_eq!(reactor.wait_for_closed(), clean(4001, "bye"));
    });
}

async fn fast(mut stream: Box<dyn Io>) -> WebSocket<Box<dyn Io>> {
    stream.write_all(&crate::client::request(&RFC_6455)).await.unwrap();
    let mut header = Vec::new();
    while !header.ends_with(b"\r\n\r\n") {
        header.push(stream.read_u8().await.unwrap());
    }
    assert!(header.starts_with(b"HTTP/1.1 101 "));
    WebSocket::after_handshake(stream, Role::Client)
}

async fn send(socket: &mut WebSocket<Box<dyn Io>>, opcode: OpCode, bytes: &[u8]) {
    let frame = Frame::new(true, opcode, None, Payload::Borrowed(bytes));
    socket.write_frame(frame).await.unwrap();
    socket.flush().await.unwrap();
}

#[test]
fn fastwebsockets_hears_its_echo() {
    on_both(|stream, reactor| async move {
        let mut socket = fast(stream).await;
        for size in SIZES {
            let text = text(size);
            for opcode in [OpCode::Text, OpCode::Binary] {
                send(&mut socket, opcode, text.as_bytes()).await;
                let echo = socket.read_frame().await.unwrap();
                assert!(echo.opcode == opcode && *echo.payload == *text.as_bytes(), "{size}");
            }
        }
        send(&mut socket, OpCode::Ping, b"are you there").await;
        let pong = socket.read_frame().await.unwrap();
        assert!(pong.opcode == OpCode::Pong && *pong.payload == *b"are you there");
        send(&mut socket, OpCode::Pong, b"unasked").await;
        reactor.wait_for(|seen| *seen == Seen::Message(MessageKind::Pong, b"unasked".to_vec()));
    });
}

#[test]
fn fastwebsockets_closes() {
    on_both(|stream, reactor| async move {
        let mut socket = fast(stream).await;
        socket.write_frame(Frame::close(1000, b"done")).await.unwrap();
        socket.flush().await.unwrap();
        let reply = socket.read_frame().await.unwrap();
        assert!(reply.opcode == OpCode::Close && *reply.payload == *b"\x03\xe8");
        assert_eq!(reactor.wait_for_closed(), clean(1000, "done"));
    });
}

#[test]
fn fastwebsockets_is_closed() {
    on_both(|stream, reactor| async move {
        let mut socket = fast(stream).await;
        send(&mut socket, OpCode::Text, b"please close").await;
        // It answers by itself.
        let close = socket.read_frame().await.unwrap();
        socket.flush().await.unwrap();
        assert!(close.opcode == OpCode::Close && *close.payload == *b"\x0f\xa1bye");
        assert_eq!(reactor.wait_for_closed(), clean(4001, "bye"));
    });
}
