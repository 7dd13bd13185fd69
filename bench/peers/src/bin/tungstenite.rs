//! tokio-tungstenite, as its own example of an echo server has it.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use futures_util::{future, stream::SplitSink, SinkExt, StreamExt, TryStreamExt};
use peers::{announce, arguments, Failure, Mode};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::{spawn_local, LocalSet},
};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::{
    accept_async_with_config,
    tungstenite::{protocol::WebSocketConfig, Message},
    WebSocketStream,
};

type Everybody = Rc<RefCell<Vec<mpsc::UnboundedSender<Message>>>>;

fn main() -> Result<(), Failure> {
    let (mode, tls) = arguments()?;
    let tls = tls.map(TlsAcceptor::from).map(Arc::new);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, async move {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        announce(listener.local_addr()?.port(), "tokio-tungstenite", "0.30")?;
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
        None => serve(socket, mode, everybody).await,
        Some(tls) => serve(tls.accept(socket).await?, mode, everybody).await,
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    stream: S,
    mode: Mode,
    everybody: Everybody,
) -> Result<(), Failure> {
    let config = WebSocketConfig::default().max_frame_size(None).max_message_size(None);
    let (mut writer, mut reader) = accept_async_with_config(stream, Some(config)).await?.split();
    match mode {
        Mode::Echo => {
            let messages = reader.try_filter(|m| future::ready(m.is_text() || m.is_binary()));
            messages.forward(writer).await?;
        }
        Mode::Broadcast => {
            let (sender, receiver) = mpsc::unbounded_channel();
            everybody.borrow_mut().push(sender);
            spawn_local(deliver(receiver, writer));
            while let Some(message) = reader.try_next().await? {
                if message.is_text() {
                    everybody.borrow_mut().retain(|one| one.send(message.clone()).is_ok());
                }
            }
        }
        Mode::Count => {
            let mut count = 0_u64;
            while let Some(message) = reader.try_next().await? {
                if message.is_text() {
                    count += 1;
                } else if message.is_binary() {
                    writer.send(Message::text(count.to_string())).await?;
                }
            }
        }
    }
    Ok(())
}

/// Writes what waits for one client, and flushes when nothing does.
async fn deliver<S: AsyncRead + AsyncWrite + Unpin>(
    mut receiver: mpsc::UnboundedReceiver<Message>,
    mut writer: SplitSink<WebSocketStream<S>, Message>,
) -> Result<(), Failure> {
    let mut messages = Vec::new();
    while receiver.recv_many(&mut messages, 64).await > 0 {
        for message in messages.drain(..) {
            writer.feed(message).await?;
        }
        writer.flush().await?;
    }
    Ok(())
}
