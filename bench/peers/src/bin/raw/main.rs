//! The limit: bare epoll, unmask, reply. It speaks as much WebSocket as the load generator does,
//! checks nothing and bounds nothing, so that no real server can cost less.

mod frames;
mod stream;

use std::{
    io::{self, ErrorKind, IoSlice},
    mem,
    net::TcpListener,
    os::fd::OwnedFd,
    sync::Arc,
};

use frames::{Frame, Frames, Kind};
use peers::{announce, arguments, Failure, Mode};
use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, CreateFlags, EventData, EventFlags},
};
use rustls::ServerConfig;
use stream::Stream;

/// One read; four of the largest messages of the usual cells.
const SCRATCH: usize = 512 * 1024;

/// A reply at least this long is written from where it was unmasked.
const LARGE: usize = 4 * 1024;

const LISTENER: u64 = u64::MAX;

struct Server {
    mode: Mode,
    tls: Option<Arc<ServerConfig>>,
    epoll: OwnedFd,
    listener: TcpListener,
    clients: Vec<Option<Box<Client>>>,
    free: Vec<usize>,
    scratch: Vec<u8>,
    /// The replies to one read.
    out: Vec<u8>,
}

struct Client {
    stream: Stream,
    /// The beginning of a frame, or of the request, whose end has not come.
    rest: Vec<u8>,
    /// For frames that are larger than a read: they are read to where they stay.
    own: Vec<u8>,
    /// Bytes of `own` that have come, where such a frame is on its way.
    begun: usize,
    /// Bytes that the socket did not take, and how many have gone meanwhile. While there are any,
    /// nothing is read.
    unsent: Vec<u8>,
    gone: usize,
    upgraded: bool,
    counted: u64,
}

/// Fate of a connection.
#[derive(PartialEq)]
enum Fate {
    Stays,
    Goes,
}

fn main() -> Result<(), Failure> {
    let (mode, tls) = arguments()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    announce(listener.local_addr()?.port(), "raw", "epoll")?;
    let mut server = Server {
        mode,
        tls,
        epoll,
        listener,
        clients: Vec::new(),
        free: Vec::new(),
        scratch: vec![0; SCRATCH],
        out: Vec::new(),
    };
    let mut events = Vec::with_capacity(1024);
    let mut cast = Vec::new();
    loop {
        epoll::wait(&server.epoll, spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            match event.data.u64() {
                LISTENER => server.accept()?,
                token => server.ready(token as usize, event.flags, &mut cast)?,
            }
        }
        // In one write to each, whoever has sent it.
        if !cast.is_empty() {
            server.broadcast(&cast)?;
            cast.clear();
        }
    }
}

impl Server {
    fn accept(&mut self) -> Result<(), Failure> {
        loop {
            let socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
            let token = self.free.pop().unwrap_or_else(|| {
                self.clients.push(None);
                self.clients.len() - 1
            });
            epoll::add(&self.epoll, &socket, EventData::new_u64(token as u64), EventFlags::IN)?;
            self.clients[token] = Some(Box::new(Client {
                stream: Stream::new(socket, self.tls.as_ref())?,
                rest: Vec::new(),
                own: Vec::new(),
                begun: 0,
                unsent: Vec::new(),
                gone: 0,
                upgraded: false,
                counted: 0,
            }));
        }
    }

    fn ready(
        &mut self,
        token: usize,
        flags: EventFlags,
        cast: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let Some(mut client) = self.clients[token].take() else {
            return Ok(());
        };
        let fate = if flags.contains(EventFlags::OUT) {
            client.retry()
        } else {
            client.read(self.mode, &mut self.scratch, &mut self.out, cast)
        };
        match fate {
            Ok(Fate::Stays) => {
                self.settle(token, &client)?;
                self.clients[token] = Some(client);
            }
            // Whatever went wrong, it is the client's end.
            Ok(Fate::Goes) | Err(_) => self.free.push(token),
        }
        Ok(())
    }

    fn broadcast(&mut self, frames: &[u8]) -> Result<(), Failure> {
        for token in 0..self.clients.len() {
            if let Some(mut client) = self.clients[token].take() {
                if client.upgraded && client.write(&[frames]).is_ok() {
                    self.settle(token, &client)?;
                }
                self.clients[token] = Some(client);
            }
        }
        Ok(())
    }

    /// Watches for what the connection needs, where that has changed.
    fn settle(&self, token: usize, client: &Client) -> io::Result<()> {
        if let Some(writing) = client.stream.turns(!client.unsent.is_empty()) {
            let flags = if writing { EventFlags::OUT } else { EventFlags::IN };
            let socket = &client.stream.socket;
            epoll::modify(&self.epoll, socket, EventData::new_u64(token as u64), flags)?;
        }
        Ok(())
    }
}

impl Client {
    fn read(
        &mut self,
        mode: Mode,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
        cast: &mut Vec<u8>,
    ) -> io::Result<Fate> {
        let mut own = mem::take(&mut self.own);
        let (buffer, kept) = if self.begun > 0 {
            (&mut own, self.begun)
        } else {
            scratch[..self.rest.len()].copy_from_slice(&self.rest);
            (scratch, self.rest.len())
        };
        let Some(read) = self.stream.read(buffer, kept)? else {
            return Ok(Fate::Goes);
        };
        let end = kept + read;
        let (fate, done) = self.answer(&mut buffer[..end], mode, out, cast)?;
        let large = frames::whole_len(&buffer[done..end]).filter(|&len| len > SCRATCH / 2);
        match large {
            Some(_) if self.begun > 0 && done == 0 => {}
            Some(len) => {
                self.keep(&[]);
                let rest = buffer[done..end].to_vec();
                own.resize(own.len().max(len), 0);
                own[..rest.len()].copy_from_slice(&rest);
            }
            None => self.keep(&buffer[done..end]),
        }
        self.begun = if large.is_some() { end - done } else { 0 };
        self.own = own;
        Ok(fate)
    }

    /// Fate of the connection, and the number of bytes that were of use.
    fn answer(
        &mut self,
        filled: &mut [u8],
        mode: Mode,
        out: &mut Vec<u8>,
        cast: &mut Vec<u8>,
    ) -> io::Result<(Fate, usize)> {
        let mut fate = Fate::Stays;
        let mut begin = 0;
        out.clear();
        if !self.upgraded {
            let Some((len, response)) = frames::upgrade(filled) else {
                return Ok((Fate::Stays, 0));
            };
            out.extend_from_slice(&response);
            self.upgraded = true;
            begin = len;
        }
        let mut frames = Frames::new(&mut filled[begin..]);
        while let Some(Frame { kind, header, payload }) = frames.next() {
            match (kind, mode) {
                (Kind::Close, _) => {
                    out.extend_from_slice(header);
                    out.extend_from_slice(payload);
                    fate = Fate::Goes;
                }
                (Kind::Text | Kind::Binary, Mode::Echo) if payload.len() >= LARGE => {
                    self.write(&[out, header, payload])?;
                    out.clear();
                }
                (Kind::Text | Kind::Binary, Mode::Echo) => {
                    out.extend_from_slice(header);
                    out.extend_from_slice(payload);
                }
                (Kind::Text, Mode::Broadcast) => {
                    cast.extend_from_slice(header);
                    cast.extend_from_slice(payload);
                }
                (Kind::Text, Mode::Count) => self.counted += 1,
                (Kind::Binary, Mode::Count) => frames::number(self.counted, out),
                _ => {}
            }
        }
        let done = begin + frames.done();
        if !out.is_empty() {
            self.write(&[out])?;
        }
        Ok((fate, done))
    }

    /// A connection that has nothing begun holds no memory for it.
    fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() && self.rest.capacity() > 0 {
            self.rest = Vec::new();
        }
        self.rest.clear();
        self.rest.extend_from_slice(rest);
    }

    /// Writes the pieces, one behind the other, in one system call.
    fn write(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        let mut taken = 0;
        if self.unsent.is_empty() {
            let mut slices = [IoSlice::new(&[]); 3];
            for (slice, piece) in slices.iter_mut().zip(pieces) {
                *slice = IoSlice::new(piece);
            }
            taken = self.stream.write(&slices[..pieces.len()])?;
        }
        for piece in pieces {
            let skipped = taken.min(piece.len());
            taken -= skipped;
            self.unsent.extend_from_slice(&piece[skipped..]);
        }
        Ok(())
    }

    fn retry(&mut self) -> io::Result<Fate> {
        self.gone += self.stream.write(&[IoSlice::new(&self.unsent[self.gone..])])?;
        if self.gone == self.unsent.len() {
            self.gone = 0;
            self.unsent.clear();
            if self.own.is_empty() {
                self.unsent = Vec::new();
            }
        }
        Ok(Fate::Stays)
    }
}
