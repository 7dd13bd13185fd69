//! The header of the PROXY protocol, which comes before TLS and the opening handshake.

use std::{
    io::{self, ErrorKind},
    mem,
    net::IpAddr,
    task::{ready, Context, Poll},
};

use tokio::{io::ReadBuf, net::TcpStream};

use super::{opening::TlsHandshake, plain, Driver, Stage, Step, Transport};
use crate::{
    protocol::proxy::{HeaderReader, Source},
    server::{
        config::ConnectionOptions, handle::Handle, outbox::Closing, sync::split, tls::Accepting,
    },
};

/// Number of bytes that are looked at at a time: more than most headers have.
const LOOK: usize = 128;

/// A connection whose header has not come, and what comes behind it.
pub(super) struct Proxied {
    stream: TcpStream,
    reader: HeaderReader,
    /// False for an address that is no proxy's.
    is_proxy: bool,
    /// Bytes that were looked at, and are to be taken out of the socket.
    looked_at: usize,
    source: Option<Source>,
    options: ConnectionOptions,
}

/// Transport that a connection begins with: one that reads a proxy's header first, where that is
/// due.
pub(super) fn begin(stream: TcpStream, handle: &Handle, options: &ConnectionOptions) -> Transport {
    match &options.proxies {
        Some(proxies) => Transport::Proxied(Box::new(Proxied {
            stream,
            reader: HeaderReader::default(),
            is_proxy: proxies.contain_peer(handle.0.addresses.peer_ip()),
            looked_at: 0,
            source: None,
            options: options.clone(),
        })),
        None => behind_header(stream, handle, options),
    }
}

fn behind_header(stream: TcpStream, handle: &Handle, options: &ConnectionOptions) -> Transport {
    match &options.tls {
        Some(config) => Transport::Accepting(Box::new(TlsHandshake {
            accepting: Accepting::new(config, options.tls_hosts.as_ref(), stream),
            awaits_verify: options.awaits_tls_verify,
        })),
        None => plain(split(stream), handle),
    }
}

impl Proxied {
    /// Reads the header, and nothing behind it: that may be TLS, which has a reader of its own.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Source>> {
        if !self.is_proxy {
            return Poll::Ready(Err(ErrorKind::PermissionDenied.into()));
        }
        loop {
            let mut bytes = [0; LOOK];
            while self.looked_at > 0 {
                match self.stream.try_read(&mut bytes[..self.looked_at.min(LOOK)]) {
                    Ok(0) => return Poll::Ready(Err(ErrorKind::UnexpectedEof.into())),
                    Ok(len) => self.looked_at -= len,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        ready!(self.stream.poll_read_ready(cx))?;
                    }
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            if let Some(source) = self.source {
                return Poll::Ready(Ok(source));
            }
            let mut buffer = ReadBuf::new(&mut bytes);
            if ready!(self.stream.poll_peek(cx, &mut buffer))? == 0 {
                return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
            }
            let received = self.reader.receive(buffer.filled());
            (self.looked_at, self.source) = received.map_err(io::Error::other)?;
        }
    }
}

impl Driver {
    pub(super) fn read_proxy_header(&mut self, cx: &mut Context<'_>) -> Step {
        let Transport::Proxied(proxied) = &mut self.transport else { return Step::Continue };
        if self.ends.handle.0.driver_lock().outbox.closing() != Closing::No {
            return Step::Done;
        }
        match proxied.poll(cx) {
            Poll::Pending => return Step::Pending,
            Poll::Ready(Ok(Source::Client(address))) => self.comes_from(address),
            Poll::Ready(Ok(Source::Unknown)) => {}
            Poll::Ready(Err(_)) => {
                self.ends.handle.counters().failed("proxy");
                return Step::Done;
            }
        }
        if let Transport::Proxied(proxied) = mem::replace(&mut self.transport, Transport::Gone) {
            let Proxied { stream, options, .. } = *proxied;
            self.transport = behind_header(stream, &self.ends.handle, &options);
        }
        if matches!((&self.transport, &self.stage), (Transport::Open(_), Stage::Raw)) {
            self.is_opened();
        }
        Step::Continue
    }

    /// The client is said to have this address.
    fn comes_from(&mut self, address: IpAddr) {
        self.ends.handle.set_client_ip(address, false);
        if let Stage::Handshake(opening) = &mut self.stage {
            opening.peer = Some(address);
            opening.handshake.set_peer(address);
        }
    }
}
