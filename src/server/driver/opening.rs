//! A driver's beginning: TLS, the opening handshake, and the wait for the application.

use std::{
    mem,
    net::IpAddr,
    sync::atomic::Ordering::SeqCst,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::{reading::Rest, timing::MessageRate, Driver, Stage, Step, Transport};
use crate::{
    error::HandshakeError,
    protocol::{
        deflate::{self, Deflater},
        handshake::{self, Accepted, Handshake, HttpRequest, Progress, Rejected},
        version::Profile,
        Held, Rate, Receiver, TokenBucket,
    },
    server::{
        config::ConnectionOptions,
        connection::held,
        delivery::{Delivery, NonWebSocket, Opened},
        handle::Handle,
        keepalive::Keepalive,
        outbound::{compression::Compressor, Flush},
        outbox::Closing,
        pause,
        reader::Reader,
        socket::Writer,
        sync::split,
        tls::{Accepting, Secured, TlsSession},
    },
};

/// Number of bytes that are read ahead while the application puts off its answer.
const EARLY: usize = 64 * 1024;

/// Timeouts and limits of a connection that is open.
pub(super) type KeepaliveOptions = (Option<Keepalive>, Option<Duration>, Option<Rate>);

/// Handshake of TLS, and what is to become of it.
pub(super) struct TlsHandshake {
    pub(super) accepting: Accepting,
    /// True if the application is told that it is done, before anything is read.
    pub(super) awaits_verify: bool,
}

/// An opening handshake, and what is to become of it.
pub(super) struct OpeningHandshake {
    pub(super) handshake: Handshake,
    /// The memory that it takes.
    pub(super) held: Held,
    /// Compression that may be agreed to.
    pub(super) compression: Option<deflate::Config>,
    /// True if the application answers it.
    pub(super) asks_application: bool,
    /// True if the application answers what is no opening handshake; and if it was told to.
    pub(super) plain: (bool, bool),
    /// Address that the request comes from; `None` for a socket of Unix.
    pub(super) peer: Option<IpAddr>,
    pub(super) watch: KeepaliveOptions,
}

impl OpeningHandshake {
    /// Receives bytes; those that follow a request of plain HTTP are nobody's.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Progress {
        match self.plain {
            (_, true) => Progress::Incomplete,
            _ => self.handshake.receive(bytes),
        }
    }

    /// The response of plain HTTP whose time is over.
    pub(super) fn timed_out(&self) -> Option<Vec<u8>> {
        self.handshake.timed_out(self.plain.1)
    }
}

/// An opening handshake that is answered, and what came behind it.
pub(super) struct AwaitingOpen {
    pub(super) receiver: Receiver,
    pub(super) rest: Vec<u8>,
    /// The memory of the rest.
    _held: Held,
    pub(super) watch: KeepaliveOptions,
}

impl Stage {
    /// Stage in which a connection begins.
    pub(super) fn first(options: &ConnectionOptions, handle: &Handle) -> Self {
        if options.raw {
            return Self::Raw;
        }
        let peer = handle.0.addresses.peer_ip();
        let handshake = Handshake::new(options.secure, options.handshake)
            .trusted_proxies(options.trusted_proxies.as_ref(), peer)
            .compression(options.compression)
            .subprotocols(options.subprotocols.clone())
            .strict(options.strict)
            .versions(options.versions)
            .plain_http(options.http_body);
        Self::Handshake(Box::new(OpeningHandshake {
            handshake,
            held: held(&handle.0, 0),
            compression: options.compression,
            asks_application: options.asks_application,
            plain: (options.reports_plain_http, false),
            peer,
            watch: (options.keepalive, options.idle_timeout, options.message_rate),
        }))
    }
}

impl Driver {
    pub(super) fn accept_tls(&mut self, cx: &mut Context<'_>) -> Step {
        let Transport::Accepting(handshake) = &mut self.transport else {
            return Step::Continue;
        };
        let awaits_verify = handshake.awaits_verify;
        if self.ends.handle.0.driver_lock().outbox.closing() != Closing::No {
            return Step::Done;
        }
        match handshake.accepting.poll(cx) {
            Poll::Pending => Step::Pending,
            Poll::Ready(Ok((socket, session))) => {
                let agreed = TlsSession::of(&session);
                let (reader, writer) = split(socket);
                let secured = Box::new(Secured::new(session, writer));
                self.transport = Transport::Open(Reader::secured(reader));
                {
                    let mut state = self.ends.handle.0.driver_lock();
                    state.cold_mut().tls = Some(Box::new(agreed));
                    state.outbox.open(Writer::Tls(secured));
                }
                if matches!(self.stage, Stage::Raw) {
                    self.is_opened();
                }
                if awaits_verify {
                    self.ends.ask(pause::AWAITING_TLS_VERIFY, Delivery::TlsEstablished, 0);
                    return Step::Continue;
                }
                // The request may have come already.
                match self.read(cx, self.ends.handle.0.pauses.load(SeqCst)) {
                    Step::Done => Step::Done,
                    Step::Continue | Step::Pending => Step::Continue,
                }
            }
            Poll::Ready(Err(_)) => {
                self.ends.handle.counters().failed("tls");
                Step::Done
            }
        }
    }

    /// Does what an opening handshake has come to, if it has.
    pub(super) fn respond(&mut self, progress: Progress) {
        let progress = match progress {
            Progress::Incomplete | Progress::Continue => progress,
            progress => self.know_client(progress),
        };
        match progress {
            Progress::Incomplete => {}
            Progress::Continue => drop(self.ends.handle.send_raw(handshake::CONTINUE, Flush::Now)),
            Progress::Http(request) => self.ask_http(request),
            Progress::Accepted(accepted) => self.accept_handshake(*accepted),
            Progress::Rejected(rejected) => self.reject_handshake(rejected),
            Progress::Healthcheck => {
                self.answer_plain(NonWebSocket::Healthcheck, handshake::HEALTHCHECK_RESPONSE);
            }
            Progress::FlashPolicy => {
                self.answer_plain(NonWebSocket::FlashPolicy, handshake::FLASH_POLICY);
            }
        }
    }

    /// Notes who the client is, as proxies say it, and turns it away where it has too much, or the
    /// server is being restarted.
    fn know_client(&mut self, progress: Progress) -> Progress {
        let Stage::Handshake(opening) = &self.stage else { return progress };
        let handle = &self.ends.handle;
        if let Some(client) = opening.handshake.client() {
            handle.set_client_ip(client, true);
        }
        let refused = match handle.has_client_limits().then(|| handle.client_ip()).flatten() {
            _ if handle.is_restarting() => {
                handle.counters().turned_away(&HandshakeError::Restarting);
                Some(HandshakeError::Restarting)
            }
            Some(client) => handle.admit(client, Instant::now()).err(),
            None => None,
        };
        match (refused, progress) {
            (None, progress) | (_, progress @ Progress::Rejected(_)) => progress,
            (Some(error), _) => {
                let response = Some(handshake::unavailable(&error));
                Progress::Rejected(Box::new(Rejected { error, response, request: None }))
            }
        }
    }

    /// Answers an opening handshake, unless the application does, and tells of it.
    fn accept_handshake(&mut self, accepted: Accepted) {
        let Stage::Handshake(opening) = &self.stage else { return };
        let request_len = opening.held.bytes();
        let remote_ip = opening.handshake.client().or(opening.peer);
        let OpeningHandshake { compression, asks_application, watch, .. } = **opening;
        let handle = &self.ends.handle;
        let pauses = handle.0.pauses.load(SeqCst);
        let asks_application = asks_application || pauses & pause::ASKS_APPLICATION != 0;
        // An application that is asked has what is left of the time.
        let reasons = pause::AWAITING_OPEN | if asks_application { pause::UNASKED } else { 0 };
        // Before the answer: whoever ends the connection sees that there is one.
        handle.0.pauses.fetch_or(reasons, SeqCst);
        if !asks_application {
            handle.send_raw(&accepted.response.to_bytes(), Flush::Now);
        }
        let mut receiver = Receiver::new(accepted.profile, handle.limits());
        if let (Some(agreed), Some(config)) = (accepted.deflate, compression) {
            receiver = receiver.with_deflate(&agreed);
            self.begin_compression(&agreed, &config, accepted.profile);
        }
        let opened = Opened {
            request: accepted.request,
            profile: accepted.profile,
            remote_ip,
            subprotocol: accepted.response.subprotocol().map(Box::from),
            response: asks_application.then(|| Box::new(accepted.response)),
        };
        let rest = accepted.rest;
        let held = held(&self.ends.handle.0, rest.capacity());
        self.stage =
            Stage::AwaitingOpen(Box::new(AwaitingOpen { receiver, rest, _held: held, watch }));
        if !asks_application {
            self.is_opened();
        }
        // The application is told of the request that was held.
        self.ends.tell(Delivery::Open(Box::new(opened)), request_len);
    }

    fn begin_compression(
        &mut self,
        agreed: &deflate::Params,
        config: &deflate::Config,
        profile: &'static Profile,
    ) {
        let deflater = Deflater::new(agreed, config);
        let (compressor, queue) = Compressor::new(deflater, profile, config.threshold);
        self.timers.get_or_insert_default().compressor = Some(Box::new(compressor));
        self.reading.inflates = true;
        self.ends.handle.0.driver_lock().outbox.begin_compression(queue);
    }

    /// Has the application answer what is refused.
    fn reject_handshake(&mut self, rejected: Box<Rejected>) {
        let request_len = match &self.stage {
            Stage::Handshake(opening) => opening.held.bytes(),
            _ => 0,
        };
        if !rejected.error.is_turned_away() {
            self.ends.handle.counters().failed(rejected.error.name());
        }
        self.is_opened();
        self.stage = Stage::ReadClosed;
        self.ends.tell(Delivery::Rejected(rejected), request_len);
    }

    /// Answers what is no opening handshake, or has the application do so, in the time that is left.
    fn answer_plain(&mut self, plain: NonWebSocket, response: &[u8]) {
        match &mut self.stage {
            Stage::Handshake(opening) if opening.plain.0 => {
                opening.plain.1 = true;
                self.ends.events.send(Delivery::NonWebSocket(plain));
            }
            _ => {
                self.ends.handle.reject(Some(response));
                self.stage = Stage::ReadClosed;
            }
        }
    }

    /// Has the application answer plain HTTP, in the time that is left from when it is asked.
    fn ask_http(&mut self, request: Box<HttpRequest>) {
        let Stage::Handshake(opening) = &mut self.stage else { return };
        opening.plain.1 = true;
        let bytes = request.held();
        self.ends.ask(pause::UNASKED, Delivery::Http(request), bytes);
    }

    /// The body of plain HTTP is not waited for any more: others are.
    pub(super) fn give_up_body(&mut self) {
        if let (Stage::Handshake(opening), true) = (&self.stage, self.ends.handle.close_opening()) {
            let rejected = opening.handshake.give_up();
            self.reject_handshake(Box::new(rejected));
        }
    }

    /// While the application puts off its answer: what the peer sends is kept, up to a bound, and
    /// that it leaves is noticed. Where the WebSocket is open before that, it is noticed later.
    pub(super) fn read_ahead(&mut self, cx: &mut Context<'_>) -> Step {
        let Transport::Open(stream) = &mut self.transport else { return Step::Done };
        let Stage::AwaitingOpen(answered) = &mut self.stage else { return Step::Pending };
        let rest = &mut answered.rest;
        if rest.len() >= EARLY {
            return Step::Pending;
        }
        let (shared, buffers) = (&self.ends.handle.0, self.ends.handle.read_buffers());
        let mut buffer = buffers.plaintext.get();
        let bytes = buffer.prepare();
        match stream.poll_read(cx, buffers, shared, bytes, EARLY) {
            Poll::Pending => Step::Pending,
            Poll::Ready(Ok(1..)) => {
                rest.extend_from_slice(bytes);
                Step::Continue
            }
            Poll::Ready(Ok(0) | Err(_)) => {
                drop(buffer);
                if !self.ends.handle.close_opening() {
                    return Step::Pending;
                }
                self.is_opened();
                self.tell_closed();
                self.stage = Stage::ReadClosed;
                Step::Continue
            }
        }
    }

    fn begin_watch(&mut self, (keepalive, idle_timeout, rate): KeepaliveOptions) {
        if let Some(rate) = rate {
            let bucket = TokenBucket::new(rate, Instant::now());
            self.timers.get_or_insert_default().message_rate = Some(MessageRate { rate, bucket });
        }
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
        let Stage::AwaitingOpen(answered) = mem::replace(&mut self.stage, Stage::ReadClosed) else {
            return;
        };
        let AwaitingOpen { mut receiver, rest, watch, .. } = *answered;
        self.is_opened();
        self.begin_watch(watch);
        receiver.set_limits(self.ends.handle.limits());
        self.stage = Stage::Frames(receiver);
        if !rest.is_empty() {
            let rest = Rest::new(rest, &self.ends.handle.0);
            self.stage = mem::replace(&mut self.stage, Stage::ReadClosed).buffered(rest);
        }
    }
}
