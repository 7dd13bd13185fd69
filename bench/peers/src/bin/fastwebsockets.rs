//! fastwebsockets, as its own example of an echo server has it.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use bytes::Bytes;
use fastwebsockets::{
    upgrade::{self, UpgradeFut},
    FragmentCollector, FragmentCollectorRead, Frame, OpCode, Payload, WebSocketError,
    WebSocketWrite,
};
use http_body_util::Empty;
use hyper::{body::Incoming, server::conn::http1, service::service_fn, Request, Response};
use hyper_util::rt::TokioIo;
use peers::{announce, arguments, Failure, Mode};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::{spawn_local, unconstrained, LocalSet},
};
use tokio_rustls::TlsAcceptor;

type Everybody = Rc<RefCell<Vec<mpsc::UnboundedSender<Bytes>>>>;

fn main() -> Result<(), Failure> {
    let (mode, tls) = arguments()?;
    let tls = tls.map(TlsAcceptor::from).map(Arc::new);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, async move {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        announce(listener.local_addr()?.port(), "fastwebsockets", "0.10")?;
        let everybody = Everybody::default();
        loop {
            let (socket, _) = listener.accept().await?;
            spawn_local(greet(socket, mode, tls.clone(), Rc::clone(&everybody)));
        }
    })
}

async fn greet(
    socket: TcpStream,
    mode: Mode,
    tls: Option<Arc<TlsAcceptor>>,
    everybody: Everybody,
) -> Result<(), Failure> {
    socket.set_nodelay(true)?;
    match tls {
        None => answer(socket, mode, everybody).await,
        Some(tls) => answer(tls.accept(socket).await?, mode, everybody).await,
    }
}

async fn answer<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    mode: Mode,
    everybody: Everybody,
) -> Result<(), Failure> {
    let service = service_fn(move |request| upgrade(request, mode, Rc::clone(&everybody)));
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await?;
    Ok(())
}

async fn upgrade(
    mut request: Request<Incoming>,
    mode: Mode,
    everybody: Everybody,
) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, upgraded) = upgrade::upgrade(&mut request)?;
    spawn_local(unconstrained(async move {
        match mode {
            Mode::Echo => echo(upgraded).await,
            Mode::Broadcast => broadcast(upgraded, everybody).await,
            Mode::Count => count(upgraded).await,
        }
    }));
    Ok(response)
}

async fn echo(upgraded: UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = upgraded.await?;
    socket.set_max_message_size(usize::MAX);
    let mut socket = FragmentCollector::new(socket);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn count(upgraded: UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(upgraded.await?);
    let mut count = 0_u64;
    loop {
        match socket.read_frame().await?.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text => count += 1,
            OpCode::Binary => {
                let answer = Payload::Owned(count.to_string().into_bytes());
                socket.write_frame(Frame::text(answer)).await?;
            }
            _ => {}
        }
    }
}

async fn broadcast(upgraded: UpgradeFut, everybody: Everybody) -> Result<(), WebSocketError> {
    let (reader, writer) = upgraded.await?.split(tokio::io::split);
    let (sender, receiver) = mpsc::unbounded_channel();
    everybody.borrow_mut().push(sender);
    spawn_local(deliver(receiver, writer));
    let mut reader = FragmentCollectorRead::new(reader);
    loop {
        let frame =
            reader.read_frame(&mut |_| async { Err(WebSocketError::ConnectionClosed) }).await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text => {
                let message = Bytes::copy_from_slice(&frame.payload);
                everybody.borrow_mut().retain(|one| one.send(message.clone()).is_ok());
            }
            _ => {}
        }
    }
}

async fn deliver<W: AsyncWrite + Unpin>(
    mut receiver: mpsc::UnboundedReceiver<Bytes>,
    mut writer: WebSocketWrite<W>,
) -> Result<(), WebSocketError> {
    while let Some(message) = receiver.recv().await {
        writer.write_frame(Frame::text(Payload::Borrowed(&message))).await?;
    }
    Ok(())
}
