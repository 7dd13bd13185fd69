//! The task that moves one connection's bytes: it reads, feeds, writes, and keeps the timers.

use std::{
    future::Future,
    io, mem,
    num::NonZeroU32,
    panic::{catch_unwind, AssertUnwindSafe},
    pin::Pin,
    sync::atomic::Ordering::SeqCst,
    task::{ready, Context, Poll},
    time::{Duration, Instant},
};

use tokio::net::TcpStream;

mod clocks;
#[cfg(feature = "loom")]
#[cfg(test)]
mod models;
mod opening;
mod proxied;
mod reading;
mod telling;
#[cfg(test)]
mod tests;
mod timers;
mod timing;
mod turns;
mod writing;

pub(crate) use self::telling::Ends;
use self::{
    opening::{AwaitingOpen, OpeningHandshake, TlsHandshake},
    proxied::Proxied,
    reading::{poll_frames, resume, Read, Reading, Rest},
    timers::{milliseconds, Timer},
    timing::Timers,
};
use super::{
    config::ConnectionOptions,
    handle::Handle,
    pause,
    reader::Reader,
    socket::Writer,
    stats::count,
    sync::{OwnedReadHalf, OwnedWriteHalf},
};
use crate::protocol::Receiver;

/// Reads in a row before other connections have their turn.
const READS: u32 = 4;

/// A peer that still sends when the connection has been ended is read, and ignored, for so long
/// and so many bytes: closing at once would reset the connection, and the peer might never see
/// why it was ended.
const LINGER: (Duration, usize) = (Duration::from_secs(2), 1024 * 1024);

/// The task of one connection.
pub(crate) fn drive(
    stream: TcpStream,
    ends: Ends,
    options: &ConnectionOptions,
) -> impl Future<Output = ()> {
    begin(proxied::begin(stream, &ends.handle, options), ends, options)
}

/// The writing half stands in the state, for whoever sends.
fn plain((reader, writer): (OwnedReadHalf, OwnedWriteHalf), handle: &Handle) -> Transport {
    handle.0.driver_lock().outbox.open(Writer::Plain(writer));
    Transport::Open(Reader::Plain(reader))
}

fn begin(transport: Transport, ends: Ends, options: &ConnectionOptions) -> Driver {
    // A raw connection's handshake is the application's, but TLS is ours, and what comes before it.
    let limited = !options.raw || options.tls.is_some() || options.proxies.is_some();
    Driver {
        transport,
        stage: Stage::first(options, &ends.handle),
        timers: limited.then(|| Timers::of_opening(options.handshake_timeout)),
        has_panicked: false,
        must_poll_write: false,
        reads: 0,
        write_timeout: options.write_timeout.map(milliseconds),
        reading: Reading::default(),
        has_drained: false,
        ends,
    }
}

// Of 152 bytes: with what tokio adds, one task then fills 256. What most connections do not have
// most of the time stands in boxes.
struct Driver {
    transport: Transport,
    stage: Stage,
    /// There only while there are any.
    timers: Option<Box<Timers>>,
    /// A defect has shown: nothing more is read.
    has_panicked: bool,
    /// The state wants looking at although nobody asks for it: something waits to be written, or the
    /// connection is being ended.
    must_poll_write: bool,
    reading: Reading,
    /// [`Delivery::Drained`](super::Delivery::Drained) is to be told, once the state is let go: the
    /// queue is not locked under it ([`locks`](super::locks)).
    has_drained: bool,
    /// Number of times that something was read.
    reads: u32,
    /// In milliseconds.
    write_timeout: Option<NonZeroU32>,
    /// Dropped last, and of it the handle.
    ends: Ends,
}

enum Transport {
    /// The proxy's header is awaited.
    Proxied(Box<Proxied>),
    /// TLS is being established.
    Accepting(Box<TlsHandshake>),
    Open(Reader),
    Gone,
}

enum Stage {
    Handshake(Box<OpeningHandshake>),
    /// The opening handshake is answered, and the application is being told.
    AwaitingOpen(Box<AwaitingOpen>),
    Frames(Receiver),
    /// The same, with bytes that were read and not looked at yet.
    Buffered(Box<(Receiver, Rest)>),
    Raw,
    /// Nothing more is read: the peer has broken a rule, or sends no more, or the handshake has
    /// failed.
    ReadClosed,
    /// Nothing more is read: the peer's close frame has come, behind which it sends no more.
    PeerClosed,
    /// Everything is written, and the peer may send this many bytes more, unread.
    Linger(usize),
}

impl Stage {
    /// Has nothing more read.
    fn stop_reading(&mut self) {
        if !matches!(self, Self::PeerClosed) {
            *self = Self::ReadClosed;
        }
    }
}

/// Outcome of a part of a poll.
enum Step {
    /// Goes on.
    Continue,
    /// Must be woken.
    Pending,
    /// The connection is gone.
    Done,
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let driver = &mut *self;
        // A defect here may cost this connection, never another one.
        match catch_unwind(AssertUnwindSafe(|| driver.advance(cx))) {
            Ok(poll) => poll,
            Err(_) if driver.has_panicked => {
                driver.end();
                Poll::Ready(())
            }
            Err(panic) => {
                // Once it has been told, the application's side closes with 1011.
                driver.has_panicked = true;
                driver.tell_panic(&*panic);
                driver.stage.stop_reading();
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl Driver {
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Before anything is looked at, so that no change is missed.
        self.ends.handle.0.register(cx.waker());
        let mut reads = 0;
        loop {
            // Before the orders, for whoever lets go of a connection has given his before that: one
            // that was refused is not read.
            let held = self.ends.handle.0.pauses.load(SeqCst);
            self.see_to_turn(held);
            let mut step = match &mut self.transport {
                Transport::Gone => Step::Done,
                Transport::Proxied(_) => self.read_proxy_header(cx),
                Transport::Accepting(_) => self.accept_tls(cx),
                Transport::Open(_) => self.write_and_read(cx, held, &mut reads),
            };
            if matches!(step, Step::Pending) {
                step = self.poll_timers(cx, held);
            }
            match step {
                Step::Continue => {}
                Step::Pending => return Poll::Pending,
                Step::Done => {
                    self.end();
                    return Poll::Ready(());
                }
            }
        }
    }

    /// Writes, tells of what that has brought, and reads once, unless enough has been read in a row.
    fn write_and_read(&mut self, cx: &mut Context<'_>, held: u16, reads: &mut u32) -> Step {
        let step = self.write(cx, *reads > 0);
        self.tell_drained();
        if !matches!(step, Step::Continue) {
            return step;
        }
        if *reads == READS {
            cx.waker().wake_by_ref();
            return Step::Pending;
        }
        *reads += 1;
        let step = self.read(cx, held);
        if matches!(self.stage, Stage::Buffered(_)) {
            *reads = READS;
        }
        step
    }

    /// Reads once, where the stage reads at all.
    fn read(&mut self, cx: &mut Context<'_>, held: u16) -> Step {
        if matches!(self.stage, Stage::AwaitingOpen(..)) && held & pause::AWAITING_OPEN == 0 {
            self.begin_frames();
            return Step::Continue;
        }
        if matches!(self.stage, Stage::AwaitingOpen(..)) && held & pause::RESPONSE_DEFERRED != 0 {
            return self.read_ahead(cx);
        }
        let rests = match self.stage {
            Stage::ReadClosed | Stage::PeerClosed => true,
            Stage::AwaitingOpen(..) | Stage::Linger(0) => true,
            Stage::Linger(_) => false,
            _ => self.is_held(held),
        };
        if rests || !self.may_read() {
            return Step::Pending;
        }
        match self.poll_stage(cx) {
            Poll::Pending => Step::Pending,
            Poll::Ready(read) => {
                self.reads = self.reads.wrapping_add(u32::from(read.is_ok()));
                self.follow(read.unwrap_or(Read::End))
            }
        }
    }

    /// Reads once, as the stage reads.
    fn poll_stage(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Read>> {
        let Transport::Open(stream) = &mut self.transport else {
            return Poll::Ready(Ok(Read::End));
        };
        let ends = &self.ends;
        let buffers = ends.handle.read_buffers();
        let size = buffers.size.usual();
        let rate = self.timers.as_mut().and_then(|timers| timers.message_rate.as_mut());
        match &mut self.stage {
            Stage::Frames(receiver) => {
                poll_frames(stream, receiver, ends, &mut self.reading, rate, cx)
            }
            Stage::Buffered(held) => Poll::Ready(Ok(resume(held, ends, &mut self.reading, rate))),
            Stage::ReadClosed | Stage::PeerClosed | Stage::AwaitingOpen(..) => Poll::Pending,
            Stage::Handshake(_) | Stage::Raw | Stage::Linger(_) => {
                let mut buffer = buffers.plaintext.get();
                let bytes = buffer.prepare();
                let len = ready!(stream.poll_read(cx, buffers, &ends.handle.0, bytes, size))?;
                if len == 0 {
                    return Poll::Ready(Ok(Read::End));
                }
                Poll::Ready(Ok(self.stage.take(bytes, ends)))
            }
        }
    }

    /// Does what a read has brought about.
    fn follow(&mut self, read: Read) -> Step {
        match read {
            Read::Close => {
                self.stage = Stage::PeerClosed;
            }
            Read::Some => match &self.stage {
                Stage::Frames(receiver) if receiver.is_done() => self.stage = Stage::ReadClosed,
                Stage::Buffered(held) if held.1.is_empty() => {
                    self.stage = mem::replace(&mut self.stage, Stage::ReadClosed).resumed();
                }
                Stage::Linger(0) => {
                    if let Some(timers) = &mut self.timers {
                        timers.clocks.hurry(Timer::Linger, Instant::now());
                    }
                }
                _ => {}
            },
            Read::Partial(rest) => {
                self.stage = mem::replace(&mut self.stage, Stage::ReadClosed).buffered(rest);
            }
            Read::TooMany => self.floods(),
            Read::Handshake(progress) => self.respond(progress),
            Read::End if matches!(self.stage, Stage::Linger(_)) => return Step::Done,
            Read::End => {
                // What was received before may still be answered: the socket stays until the
                // application has seen it all.
                self.tell_closed();
                self.stage = Stage::ReadClosed;
            }
        }
        Step::Continue
    }

    /// Tells of the end, then lets go of the socket: a client on the application's own reactor does
    /// not see it before `onclose` is called, as with EventMachine.
    fn end(&mut self) {
        let is_overrun = self.ends.handle.0.driver_lock().outbox.abandon();
        if is_overrun {
            count(&self.ends.handle.counters().overrun);
            self.ends.handle.set_ended_by("outbound_limit");
        }
        // They end together: nobody else takes what is deferred, and nothing else is compressed.
        if let Some(timers) = &mut self.timers {
            timers.compressor = None;
        }
        self.tell_closed();
        self.ends.handle.gone();
        self.transport = Transport::Gone;
        self.stage = Stage::ReadClosed;
    }
}
