//! The task that moves one connection's bytes: it reads, feeds, writes, and keeps the timers.

use std::{
    future::Future,
    mem,
    num::NonZeroU32,
    panic::{catch_unwind, AssertUnwindSafe},
    pin::Pin,
    sync::{atomic::Ordering::SeqCst, Arc},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use tokio::net::TcpStream;

#[cfg(feature = "loom")]
#[cfg(test)]
mod models;
mod opening;
mod reading;
#[cfg(test)]
mod tests;
mod timing;

use self::{
    opening::{Answered, Beginning},
    reading::{go_on, poll_frames, Read, Reading},
    timing::{milliseconds, Timers},
};
use super::{
    config::ConnectionOptions,
    events::Delivery,
    handle::Handle,
    link::{hold, Link},
    sender::EventSender,
    stats::count,
    stream::{Socket, Stream, Writer},
    sync::{split, OwnedReadHalf, OwnedWriteHalf},
    tally::Counted,
    tls::Accepting,
};
use crate::{
    error::ProtocolError,
    protocol::{Progress, Receiver},
};

/// Reads in a row before other connections have their turn.
const READS: usize = 4;

/// A peer that still sends when the connection has been ended is read, and ignored, for so long
/// and so many bytes: closing at once would reset the connection, and the peer might never see
/// why it was ended.
const LINGER: (Duration, usize) = (Duration::from_secs(2), 1024 * 1024);

/// Whom a driver tells, and about whom.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) events: EventSender,
    /// Dropped last: whoever waits until all that was opened is closed waits for this.
    pub(crate) handle: Counted,
}

impl Ends {
    /// Tells what the application must have its chance to answer before more is read. The reason
    /// not to read is there before the record: once that is queued, it may be answered at any
    /// moment, and the reason taken away; after that it would stay.
    fn ask(&self, reason: u8, delivery: Delivery) {
        self.handle.0.hold.fetch_or(reason, SeqCst);
        self.events.send(delivery);
    }
}

/// The task of one connection.
pub(crate) fn drive(
    stream: TcpStream,
    ends: Ends,
    options: &ConnectionOptions,
) -> impl Future<Output = ()> {
    let transport = match &options.tls {
        Some(config) => match Accepting::new(config, split(stream)) {
            Ok(accepting) => Transport::Accepting(Box::new(accepting)),
            Err(_) => {
                ends.handle.counters().failed("tls");
                Transport::Gone
            }
        },
        None => plain(split(stream), &ends.handle),
    };
    begin(transport, ends, options)
}

/// The writing half stands in the link, for whoever sends.
fn plain((reader, writer): (OwnedReadHalf, OwnedWriteHalf), handle: &Handle) -> Transport {
    handle.0.driver_link().socket = Socket::Here(Writer::Plain(writer));
    Transport::Open(Stream::Plain(reader))
}

fn begin(transport: Transport, ends: Ends, options: &ConnectionOptions) -> Driver {
    // A raw connection's handshake is the application's, but TLS is ours.
    let limited = !options.raw || options.tls.is_some();
    Driver {
        transport,
        stage: Stage::first(options),
        timers: limited.then(|| Timers::of_opening(Instant::now() + options.handshake_timeout)),
        has_panicked: false,
        peer_closed: false,
        is_busy: false,
        announces_tls: options.announces_tls,
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
    announces_tls: bool,
    /// Whether the peer's close frame has come: it sends no more.
    peer_closed: bool,
    /// Whether the link wants looking at although nobody asks for it: something waits to be
    /// written, or the connection is being ended.
    is_busy: bool,
    reading: Reading,
    /// [`Delivery::Drained`] is to be told, once the link is let go: the queue is not locked under
    /// it ([`locks`](super::locks)).
    has_drained: bool,
    /// How often something was read.
    reads: u32,
    /// In milliseconds.
    write_timeout: Option<NonZeroU32>,
    /// Dropped last, and of it the handle.
    ends: Ends,
}

enum Transport {
    Accepting(Box<Accepting>),
    Open(Stream),
    Gone,
}

enum Stage {
    Handshake(Box<Beginning>),
    /// The opening handshake is answered, and the application is being told.
    Opening(Box<Answered>),
    Frames(Receiver),
    /// The same, with bytes that were read and not looked at yet.
    Held(Box<(Receiver, BytesMut)>),
    Raw,
    /// Nothing more is read: the peer has closed, or broken a rule, or sends no more.
    Over,
    /// Everything is written, and the peer may send this many bytes more, unread.
    Linger(usize),
}

/// How a part of a poll went.
enum Step {
    /// Goes on.
    On,
    /// Must be woken.
    Wait,
    /// The connection is gone.
    End,
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
                driver.stage = Stage::Over;
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
            let held = self.ends.handle.0.hold.load(SeqCst);
            let step = match &mut self.transport {
                Transport::Gone => Step::End,
                Transport::Accepting(_) => self.accept_tls(cx),
                Transport::Open(_) => match self.write_and_tell(cx, reads > 0) {
                    Step::On if reads == READS => {
                        cx.waker().wake_by_ref();
                        Step::Wait
                    }
                    Step::On => {
                        reads += 1;
                        self.read(cx, held)
                    }
                    step => step,
                },
            };
            match step {
                Step::On => {}
                Step::End => {
                    self.end();
                    return Poll::Ready(());
                }
                Step::Wait => match self.keep_time(cx) {
                    Step::Wait => return Poll::Pending,
                    Step::On => {}
                    Step::End => {
                        self.end();
                        return Poll::Ready(());
                    }
                },
            }
        }
    }

    fn write_and_tell(&mut self, cx: &mut Context<'_>, has_read: bool) -> Step {
        let step = self.write(cx, has_read);
        self.tell_drained();
        step
    }

    /// Writes what is ours to write, and follows what has been ordered.
    fn write(&mut self, cx: &mut Context<'_>, has_read: bool) -> Step {
        let is_wanted = self.ends.handle.0.attention.swap(false, SeqCst);
        let has_replies = matches!(&self.transport, Transport::Open(it) if it.has_replies());
        if !(is_wanted || self.is_busy || has_read && (has_replies || self.watches_inactivity())) {
            return Step::On;
        }
        if matches!(self.stage, Stage::Linger(_)) {
            return if self.ends.handle.0.driver_link().end == Progress::Abort {
                Step::End
            } else {
                Step::On
            };
        }
        let shared = Arc::clone(&self.ends.handle.0);
        let mut link = shared.driver_link();
        if link.end == Progress::Abort {
            return Step::End;
        }
        if has_read {
            link.touch();
        }
        if mem::take(&mut link.limits_changed) {
            match &mut self.stage {
                Stage::Frames(receiver) => receiver.set_limits(link.limits()),
                Stage::Held(held) => held.0.set_limits(link.limits()),
                _ => {}
            }
        }
        if let Some(compressor) = self.timers.as_mut().and_then(|it| it.compressor.as_mut()) {
            link = compressor.advance(&shared, link, cx);
        }
        let before = (link.out.len(), link.taken());
        let mut written = self.flush(&mut link, cx);
        self.note_stall(written, link.out.len() < before.0 || link.taken() > before.1);
        if written && link.has_late_pong() {
            link.take_late_pong();
            written = self.flush(&mut link, cx);
        }
        self.has_drained |= link.has_drained();
        // What was sent meanwhile has woken this task again.
        written &= !link.is_deferring();
        let (unanswered, inactive) = (link.connection.poll_timeout(), link.inactive_at());
        if self.timers.is_some() || unanswered.is_some() || inactive.is_some() {
            let timers = self.timers.get_or_insert_default();
            (timers.unanswered, timers.inactive) = (unanswered, inactive);
        }
        self.is_busy = !written || link.released || link.end != Progress::Stay;
        if link.end == Progress::Stay && !link.released {
            return Step::On;
        }
        // A peer that does not read is not waited for longer than one that does not answer.
        let patience = link.connection.close_timeout();
        let timers = self.timers.get_or_insert_default();
        timers.closing.get_or_insert_with(|| Instant::now() + patience);
        if !written {
            return Step::Wait;
        }
        if link.released {
            // Its peer has stopped sending, and the application has been told: nothing more comes.
            return Step::End;
        }
        if link.socket.poll_shutdown(cx).is_pending() {
            return Step::Wait;
        }
        drop(link);
        if self.peer_closed {
            return Step::End;
        }
        if matches!(self.stage, Stage::Opening(..)) {
            self.ends.handle.counters().failed("application");
        }
        self.tell_closed();
        self.stage = Stage::Linger(LINGER.1);
        self.timers.get_or_insert_default().closing = Some(Instant::now() + LINGER.0);
        Step::On
    }

    /// Whether everything is written.
    fn flush(&mut self, link: &mut Link, cx: &mut Context<'_>) -> bool {
        if link.broken {
            link.out.clear();
        }
        let result = link.flush_turn(cx);
        if let Transport::Open(stream) = &mut self.transport {
            // Where it could not be written, `link` keeps it.
            stream.has_replied();
        }
        match result {
            Ok(written) => {
                link.blocked = !written;
                written
            }
            Err(_) => {
                link.broken = true;
                link.blocked = false;
                link.out.clear();
                true
            }
        }
    }

    /// Reads once, where the stage reads at all.
    fn read(&mut self, cx: &mut Context<'_>, held: u8) -> Step {
        if let Stage::Opening(..) = &self.stage {
            if held & hold::OPENING == 0 {
                self.begin_frames();
                return Step::On;
            }
            if held & hold::DEFERRED != 0 {
                return self.read_ahead(cx);
            }
        }
        if matches!(self.stage, Stage::Over | Stage::Opening(..)) {
            return Step::Wait;
        }
        if held & hold::ANY != 0 && !matches!(self.stage, Stage::Linger(_)) {
            return Step::Wait;
        }
        let Transport::Open(stream) = &mut self.transport else {
            return Step::End;
        };
        let ends = &self.ends;
        let size = ends.handle.0.backlog.read_size.usual();
        let polled = match &mut self.stage {
            Stage::Frames(receiver) => poll_frames(stream, receiver, ends, &mut self.reading, cx),
            Stage::Held(held) => Poll::Ready(Ok(go_on(held, ends, &mut self.reading))),
            Stage::Handshake(begun) => {
                let receive = |bytes: &mut BytesMut| Some(begun.receive(bytes));
                stream.poll_read(cx, &ends.handle.0, size, receive).map_ok(Read::from)
            }
            Stage::Raw => stream
                .poll_read(cx, &ends.handle.0, size, |bytes| {
                    ends.events.append(|batch| {
                        batch.push_bytes(ends.events.connection(), bytes);
                        // Before it can be delivered.
                        ends.handle.0.queued(bytes.len(), 1);
                    });
                    None
                })
                .map_ok(Read::from),
            Stage::Linger(left) => stream
                .poll_read(cx, &ends.handle.0, size, |bytes| {
                    *left = left.saturating_sub(bytes.len());
                    None
                })
                .map_ok(Read::from),
            Stage::Over | Stage::Opening(..) => return Step::Wait,
        };
        if matches!(polled, Poll::Ready(Ok(_))) {
            self.reads = self.reads.wrapping_add(1);
        }
        match polled {
            Poll::Pending => Step::Wait,
            Poll::Ready(Ok(Read::Close)) => {
                self.peer_closed = true;
                self.stage = Stage::Over;
                Step::On
            }
            Poll::Ready(Ok(Read::Some)) => match &self.stage {
                Stage::Frames(receiver) if receiver.is_done() => {
                    self.stage = Stage::Over;
                    Step::On
                }
                Stage::Held(held) if held.1.is_empty() => {
                    self.stage = mem::replace(&mut self.stage, Stage::Over).freed();
                    Step::On
                }
                Stage::Linger(0) => Step::End,
                _ => Step::On,
            },
            Poll::Ready(Ok(Read::More(rest))) => {
                self.stage = mem::replace(&mut self.stage, Stage::Over).held(rest);
                Step::On
            }
            Poll::Ready(Ok(Read::Opening(opening))) => {
                self.answer(opening);
                Step::On
            }
            Poll::Ready(Ok(Read::End) | Err(_)) => {
                if matches!(self.stage, Stage::Linger(_)) {
                    return Step::End;
                }
                // What was received before may still be answered: the socket stays until the
                // application has seen it all.
                self.tell_closed();
                self.stage = Stage::Over;
                Step::On
            }
        }
    }

    fn tell_error(&self, error: ProtocolError) {
        self.ends.events.send(Delivery::Error(Box::new(error)));
    }

    fn tell_panic(&mut self, panic: &(dyn std::any::Any + Send)) {
        if self.ends.events.is_closed() {
            return;
        }
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned());
        self.tell_error(ProtocolError::Internal(text.unwrap_or_default()));
    }

    fn tell_drained(&mut self) {
        if mem::take(&mut self.has_drained) {
            self.ends.events.send(Delivery::Drained);
        }
    }

    fn tell_closed(&mut self) {
        self.tell_drained();
        self.ends.events.close();
    }

    /// Lets go of the socket, then tells.
    fn end(&mut self) {
        {
            let mut link = self.ends.handle.0.driver_link();
            if mem::take(&mut link.overrun) {
                count(&self.ends.handle.counters().overrun);
            }
            link.end = Progress::Abort;
            link.socket = Socket::Gone;
            link.deferred = None;
            link.out.clear();
        }
        // They end together: nobody else takes what is deferred, and nothing else is compressed.
        if let Some(timers) = &mut self.timers {
            timers.compressor = None;
        }
        self.transport = Transport::Gone;
        self.tell_closed();
    }
}
