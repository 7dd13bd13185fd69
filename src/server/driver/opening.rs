//! A driver's beginning: TLS, the opening handshake, and the wait for the application.

use std::{
    mem,
    sync::atomic::Ordering::SeqCst,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::{reading::Rest, Driver, Stage, Step, Transport};
use crate::{
    protocol::{
        deflate::{self, Deflater},
        handshake::{self, Handshake, Progress as Opening},
        Held, Progress, Receiver,
    },
    server::{
        charge::held,
        config::ConnectionOptions,
        deferred::Compressor,
        events::{Delivery, Opened, Plain},
        handle::{Cork, Handle},
        hold,
        liveness::Keepalive,
        stream::{Socket, Stream, Writer},
        tls::TlsSession,
    },
};

/// Number of bytes that are read ahead while the application puts off its answer.
const EARLY: usize = 64 * 1024;

/// What to watch once the connection is open.
pub(super) type Watch = (Option<Keepalive>, Option<Duration>);

/// An opening handshake, and what is to become of it.
pub(super) struct Beginning {
    pub(super) handshake: Handshake,
    /// The memory that it takes.
    pub(super) held: Held,
    /// What may be agreed to.
    pub(super) compression: Option<deflate::Config>,
    /// Whether the application answers it.
    pub(super) asks: bool,
    /// True if the application answers what is no opening handshake; and if it was told to.
    pub(super) plain: (bool, bool),
    pub(super) watch: Watch,
}

impl Beginning {
    /// Receives bytes; those that follow a request of plain HTTP are nobody's.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Opening {
        match self.plain {
            (_, true) => Opening::Incomplete,
            _ => self.handshake.receive(bytes),
        }
    }
}

/// An opening handshake that is answered, and what came behind it.
pub(super) struct Answered {
    pub(super) receiver: Receiver,
    pub(super) rest: Vec<u8>,
    /// The memory of the rest.
    _held: Held,
    pub(super) watch: Watch,
}

impl Stage {
    /// Where a connection begins.
    pub(super) fn first(options: &ConnectionOptions, handle: &Handle) -> Self {
        if options.raw {
            return Self::Raw;
        }
        let handshake = Handshake::new(options.secure, options.handshake)
            .compression(options.compression)
            .subprotocols(options.subprotocols.clone())
            .strict(options.strict)
            .versions(options.versions);
        Self::Handshake(Box::new(Beginning {
            handshake,
            held: held(&handle.0, 0),
            compression: options.compression,
            asks: options.asks,
            plain: (options.tells_plain_http, false),
            watch: (options.keepalive, options.idle_timeout),
        }))
    }
}

impl Driver {
    pub(super) fn accept_tls(&mut self, cx: &mut Context<'_>) -> Step {
        let Transport::Accepting(accepting) = &mut self.transport else {
            return Step::On;
        };
        if self.ends.handle.0.driver_link().end != Progress::Stay {
            return Step::End;
        }
        match accepting.poll(cx) {
            Poll::Pending => Step::Wait,
            Poll::Ready(Ok(())) => {
                let agreed = TlsSession::of(accepting.session());
                let Transport::Accepting(accepting) =
                    mem::replace(&mut self.transport, Transport::Gone)
                else {
                    return Step::End;
                };
                let (reader, secured) = accepting.established();
                self.transport = Transport::Open(Stream::secured(reader));
                {
                    let mut link = self.ends.handle.0.driver_link();
                    link.rare().tls = Some(agreed);
                    link.socket = Socket::Here(Writer::Tls(Box::new(secured)));
                }
                if matches!(self.stage, Stage::Raw) {
                    self.is_opened();
                }
                if self.announces_tls {
                    self.ends.ask(hold::SECURING, Delivery::Secured, 0);
                    return Step::On;
                }
                // The request may have come already; then what TLS has left to say leaves with
                // the answer.
                match self.read(cx, self.ends.handle.0.hold.load(SeqCst)) {
                    Step::End => Step::End,
                    Step::On | Step::Wait => Step::On,
                }
            }
            Poll::Ready(Err(_)) => {
                self.ends.handle.counters().failed("tls");
                Step::End
            }
        }
    }

    /// Answers an opening handshake, as far as it is known.
    pub(super) fn answer(&mut self, opening: Opening) {
        let handle = &self.ends.handle;
        // The application is told of the request that was held.
        let asked = match &self.stage {
            Stage::Handshake(begun) => begun.held.bytes(),
            _ => 0,
        };
        let (stage, delivery) = match opening {
            Opening::Incomplete => return,
            Opening::Accepted(accepted) => {
                let accepted = *accepted;
                let Stage::Handshake(begun) = &self.stage else { return };
                let Beginning { compression, asks, watch, .. } = **begun;
                let asks = asks || handle.0.hold.load(SeqCst) & hold::ASKS != 0;
                if !asks {
                    handle.send_raw(&accepted.answer.to_bytes(), Cork::No);
                }
                let mut receiver = Receiver::new(accepted.profile, handle.limits());
                if let (Some(agreed), Some(config)) = (accepted.deflate, compression) {
                    receiver = receiver.with_deflate(&agreed);
                    let deflater = Deflater::new(&agreed, &config);
                    let (compressor, deferred) =
                        Compressor::new(deflater, accepted.profile, config.threshold);
                    self.timers.get_or_insert_default().compressor = Some(Box::new(compressor));
                    self.reading.inflates = true;
                    handle.0.driver_link().deferred = Some(Box::new(deferred));
                }
                let opened = Opened {
                    request: accepted.request,
                    profile: accepted.profile,
                    subprotocol: accepted.answer.subprotocol().map(Box::from),
                    answer: asks.then(|| Box::new(accepted.answer)),
                };
                // An application that is asked has what is left of the time.
                if !asks {
                    self.is_opened();
                }
                let rest = accepted.rest;
                let held = held(&self.ends.handle.0, rest.capacity());
                let answered = Answered { receiver, rest, _held: held, watch };
                (Stage::Opening(Box::new(answered)), Delivery::Open(Box::new(opened)))
            }
            Opening::Refused(refused) => {
                self.ends.handle.counters().failed(refused.error.name());
                (Stage::Over, Delivery::Refused(refused))
            }
            Opening::Healthcheck => {
                return self.answer_plain(Plain::Healthcheck, handshake::HEALTHCHECK_RESPONSE);
            }
            Opening::FlashPolicy => {
                return self.answer_plain(Plain::FlashPolicy, handshake::FLASH_POLICY);
            }
        };
        if !matches!(stage, Stage::Opening(_)) {
            self.is_opened();
        }
        self.stage = stage;
        match delivery {
            Delivery::Open(ref opened) if opened.answer.is_some() => {
                self.ends.ask(hold::OPENING | hold::ASKING, delivery, asked);
            }
            Delivery::Open(_) => self.ends.ask(hold::OPENING, delivery, asked),
            delivery => self.ends.tell(delivery, asked),
        }
    }

    /// Answers what is no opening handshake, or has the application do so, in the time that is left.
    fn answer_plain(&mut self, plain: Plain, response: &[u8]) {
        match &mut self.stage {
            Stage::Handshake(begun) if begun.plain.0 => {
                begun.plain.1 = true;
                self.ends.events.send(Delivery::Plain(plain));
            }
            _ => {
                self.ends.handle.refuse(Some(response));
                self.stage = Stage::Over;
            }
        }
    }

    /// While the application puts off its answer: what the peer sends is kept, up to a bound, and
    /// that it leaves is noticed. Where the WebSocket is open before that, it is noticed later.
    pub(super) fn read_ahead(&mut self, cx: &mut Context<'_>) -> Step {
        let Transport::Open(stream) = &mut self.transport else { return Step::End };
        let Stage::Opening(answered) = &mut self.stage else { return Step::Wait };
        let rest = &mut answered.rest;
        if rest.len() >= EARLY {
            return Step::Wait;
        }
        let shared = &self.ends.handle.0;
        match stream.poll_read(cx, shared, EARLY, |bytes| rest.extend_from_slice(bytes)) {
            Poll::Pending => Step::Wait,
            Poll::Ready(Ok(Some(()))) => Step::On,
            Poll::Ready(Ok(None) | Err(_)) => {
                if !self.ends.handle.close_opening() {
                    return Step::Wait;
                }
                self.is_opened();
                self.tell_closed();
                self.stage = Stage::Over;
                Step::On
            }
        }
    }

    fn begin_watch(&mut self, (keepalive, idle_timeout): Watch) {
        let profile = self.ends.handle.profile();
        let keepalive = keepalive.filter(|_| profile.is_some_and(|profile| profile.pingable));
        if keepalive.is_some() || idle_timeout.is_some() {
            let clocks = &mut self.timers.get_or_insert_default().clocks;
            clocks.open(keepalive, idle_timeout, Instant::now());
        }
    }

    /// The application has been told of the opening: what came behind it is read first. That waits
    /// where the application has paused the connection.
    pub(super) fn begin_frames(&mut self) {
        let Stage::Opening(answered) = mem::replace(&mut self.stage, Stage::Over) else {
            return;
        };
        let Answered { mut receiver, rest, watch, .. } = *answered;
        self.is_opened();
        self.begin_watch(watch);
        receiver.set_limits(self.ends.handle.limits());
        self.stage = Stage::Frames(receiver);
        if !rest.is_empty() {
            let rest = Rest::new(rest, &self.ends.handle.0);
            self.stage = mem::replace(&mut self.stage, Stage::Over).held(rest);
        }
    }
}
