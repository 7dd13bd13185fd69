//! `Native::Protocol`: the protocol by itself, for connections whose bytes pass through Ruby.
//!
//! Nothing in it calls back: `receive` returns what the bytes amount to, and every other method
//! the bytes to be sent.

#![allow(clippy::disallowed_methods, reason = "it is the protocol's clock")]

use std::{
    cell::{Cell, RefCell},
    time::Instant,
};

use em_websocket::{
    error::{ProtocolError, UsageError},
    protocol::{
        close::CloseCode, deflate::Deflater, version, CloseAction, Connection, FrameParts, Limits,
        Opcode, PeerClose, Rate, Receiver, TokenBucket,
    },
};
use magnus::{
    function, method, prelude::*, value::LazyId, Error, RArray, RHash, RModule, RString, Ruby,
    Symbol, Value,
};

use crate::{
    convert::{
        error,
        frames::{self, End},
        options, string, symbols,
    },
    deflate::Deflate,
    raw,
    write_batch::{self, WriteBatch},
};

/// `Native::Protocol`.
#[magnus::wrap(class = "EventMachine::WebSocket::Native::Protocol", free_immediately, size)]
pub(crate) struct Protocol {
    receiver: RefCell<Receiver>,
    connection: RefCell<Connection>,
    strict: bool,
    deflater: RefCell<Option<Deflater>>,
    /// Error that [`Protocol::fail`] fails with.
    error: RefCell<Option<ProtocolError>>,
    batch: WriteBatch,
    rate: RefCell<Option<RateLimit>>,
    /// True once more messages have come than may.
    has_exceeded: Cell<bool>,
}

/// Limit on the messages that come.
struct RateLimit {
    rate: Rate,
    bucket: TokenBucket,
    /// Body of pings whose pongs are not counted, and number of those that are not answered.
    ping: Vec<u8>,
    pings: usize,
}

impl Protocol {
    fn new(ruby: &Ruby, version: i64, close_timeout: f64, strict: bool) -> Result<Self, Error> {
        let profile = version::profile(version).ok_or_else(|| {
            error::web_socket(ruby, format!("Protocol version {version} not supported"))
        })?;
        let mut connection = Connection::new(options::duration(close_timeout));
        connection.open(profile);
        Ok(Self {
            receiver: RefCell::new(Receiver::new(profile, Limits::default())),
            strict,
            deflater: RefCell::default(),
            connection: RefCell::new(connection),
            error: RefCell::default(),
            batch: WriteBatch::default(),
            rate: RefCell::default(),
            has_exceeded: Cell::default(),
        })
    }

    /// Compresses, and takes compressed messages, as the opening handshake agreed. Must come before
    /// the first bytes.
    fn compress(&self, deflate: &Deflate) {
        let Deflate(agreed, config) = deflate;
        if let Some(profile) = self.connection.borrow().profile() {
            let receiver = Receiver::new(profile, Limits::default()).with_deflate(agreed);
            *self.receiver.borrow_mut() = receiver;
            *self.deflater.borrow_mut() = Some(Deflater::new(agreed, config));
        }
    }

    /// Events that the bytes complete, in order, two elements each: `:text`, `:binary`, `:ping` or
    /// `:pong` and a String, `:close` and `[code or nil, body]`, `:error` and an exception.
    fn receive(
        ruby: &Ruby,
        this: &Self,
        data: RString,
        max_frame_size: Value,
        max_message_size: Value,
    ) -> Result<RArray, Error> {
        let limits = Limits {
            frame: options::limit(max_frame_size)?,
            message: options::limit(max_message_size)?,
            require_masked: this.strict,
        };
        let events = ruby.ary_new();
        if this.has_exceeded.get() {
            return Ok(events);
        }
        let allowed = this.allowed();
        let mut messages = 0;
        let end = frames::receive(&this.receiver, data, limits, |opcode, body, code_range| {
            messages += usize::from(!(opcode == Opcode::Pong && this.is_own_pong(body)));
            if messages > allowed {
                return Ok(());
            }
            let string = match opcode {
                Opcode::Text => raw::text(ruby, body, code_range)?,
                _ => raw::binary(ruby, body)?,
            };
            events.cat(&[symbols::opcode(ruby, opcode).as_value(), string.as_value()])
        })?;
        match this.judge(messages, allowed, end) {
            None => {}
            Some(End::Close(code, body)) => {
                let code = ruby.into_value(code.map(|code| code.0));
                let body = raw::binary(ruby, &body)?.as_value();
                let close = ruby.ary_new_from_values(&[code, body]).as_value();
                events.cat(&[symbols::opcode(ruby, Opcode::Close).as_value(), close])?;
            }
            Some(End::Error(error)) => {
                let exception = error::protocol(ruby, &error)?.as_value();
                *this.error.borrow_mut() = Some(error);
                events.cat(&[symbols::error(ruby).as_value(), exception])?;
            }
        }
        Ok(events)
    }

    /// Limits the messages that come, pings and pongs included, to so many a second; but not pongs
    /// that answer this ping.
    fn limit_rate(&self, per_second: f64, ping: RString) {
        let limit = |rate| RateLimit {
            rate,
            bucket: TokenBucket::new(rate, Instant::now()),
            ping: raw::with_bytes(ping, <[u8]>::to_vec),
            pings: 0,
        };
        *self.rate.borrow_mut() = Rate::new(per_second).map(limit);
    }

    /// Notes that a ping is sent, if it is one whose pong is not counted.
    fn expect_pong(&self, ping: RString) {
        if let Some(limit) = &mut *self.rate.borrow_mut() {
            limit.pings += usize::from(raw::with_bytes(ping, |ping| ping == limit.ping));
        }
    }

    /// True if a pong answers such a ping, each of which is answered once.
    fn is_own_pong(&self, body: &[u8]) -> bool {
        match &mut *self.rate.borrow_mut() {
            Some(limit) if limit.pings > 0 && limit.ping == body => {
                limit.pings -= 1;
                true
            }
            _ => false,
        }
    }

    /// Number of messages that may come now.
    fn allowed(&self) -> usize {
        let mut limit = self.rate.borrow_mut();
        limit.as_mut().map_or(usize::MAX, |it| it.bucket.available(it.rate, Instant::now()))
    }

    /// Counts what has come: it has ended with an error where that was more than `allowed`.
    fn judge(&self, messages: usize, allowed: usize, end: Option<End>) -> Option<End> {
        let Some(limit) = &mut *self.rate.borrow_mut() else { return end };
        limit.bucket.spend(messages);
        if messages <= allowed {
            return end;
        }
        self.has_exceeded.set(true);
        let limit = limit.rate.per_second().to_string();
        Some(End::Error(ProtocolError::TooManyMessages(limit)))
    }

    /// Begins to gather what is sent, for EventMachine's connection of this number.
    fn begin_batch(&self, signature: i64) {
        self.batch.begin(signature);
    }

    /// Hands over what has been gathered, and ends it.
    fn end_batch(ruby: &Ruby, this: &Self) -> Result<(), Error> {
        this.batch.end(ruby)
    }

    /// The frame of a text message, or nil where it has been gathered or nothing can be sent any
    /// more. So with those below.
    fn text(ruby: &Ruby, this: &Self, data: Value) -> Result<Option<RString>, Error> {
        let data = string::text(ruby, data)?;
        let parts = |connection: &Connection, len| connection.text(len);
        this.message(ruby, data, Opcode::Text, parts).map(to_be_sent)
    }

    /// Frame of a binary message; its length, where it has been gathered.
    fn binary(ruby: &Ruby, this: &Self, data: Value) -> Result<Option<Value>, Error> {
        let data = string::binary(data)?;
        this.message(ruby, data, Opcode::Binary, |connection, len| connection.binary(len))
    }

    fn ping(ruby: &Ruby, this: &Self, body: RString) -> Result<Option<RString>, Error> {
        this.expect_pong(body);
        this.frame(ruby, body, |connection, len| connection.ping(len)).map(to_be_sent)
    }

    fn pong(ruby: &Ruby, this: &Self, body: RString) -> Result<Option<RString>, Error> {
        this.frame(ruby, body, |connection, len| connection.pong(len)).map(to_be_sent)
    }

    /// The pong that answers a ping.
    fn answer(ruby: &Ruby, this: &Self, body: RString) -> Result<Option<RString>, Error> {
        this.frame(ruby, body, |connection, len| connection.answer(len)).map(to_be_sent)
    }

    /// The frame of a message, or its length where it has been gathered; compressed where that was
    /// agreed to.
    fn message(
        &self,
        ruby: &Ruby,
        payload: RString,
        opcode: Opcode,
        parts: impl FnOnce(&Connection, usize) -> Result<Option<FrameParts>, UsageError>,
    ) -> Result<Option<Value>, Error> {
        let gathers = self.gathers(ruby, payload)?;
        let profile = self.connection.borrow().profile();
        let (true, Some(profile)) = (self.deflater.borrow().is_some(), profile) else {
            return self.frame(ruby, payload, parts);
        };
        let may_send = parts(&self.connection.borrow(), payload.len())
            .map_err(|error| error::usage(ruby, &error))?;
        let Some(_) = may_send else { return Ok(None) };
        let compress = |frames: &mut Vec<u8>| {
            if let Some(deflater) = &mut *self.deflater.borrow_mut() {
                raw::with_bytes(payload, |payload| {
                    deflater.message(profile, opcode, payload, frames);
                });
            }
        };
        if gathers {
            return Ok(self.batch.gather(ruby, compress));
        }
        let mut frame = Vec::new();
        compress(&mut frame);
        Ok(Some(raw::binary(ruby, &frame)?.as_value()))
    }

    fn frame(
        &self,
        ruby: &Ruby,
        payload: RString,
        parts: impl FnOnce(&Connection, usize) -> Result<Option<FrameParts>, UsageError>,
    ) -> Result<Option<Value>, Error> {
        let parts = parts(&self.connection.borrow(), payload.len())
            .map_err(|error| error::usage(ruby, &error))?;
        let Some(parts) = parts else { return Ok(None) };
        if self.gathers(ruby, payload)? {
            return Ok(self.batch.gather(ruby, |frames| write_batch::put(frames, &parts, payload)));
        }
        Ok(Some(raw::frame(ruby, parts.head(), payload, parts.tail())?.as_value()))
    }

    /// True if a payload is gathered. One that is not is sent behind those that were.
    fn gathers(&self, ruby: &Ruby, payload: RString) -> Result<bool, Error> {
        if payload.len() >= write_batch::LARGE || self.batch.is_full() {
            self.batch.flush(ruby)?;
        }
        Ok(self.batch.is_on() && payload.len() < write_batch::LARGE)
    }

    /// The application has not asked for the close that follows.
    fn unasked(&self) {
        self.connection.borrow_mut().unasked();
    }

    /// True if the peer is in the middle of a message.
    fn is_amid(&self) -> bool {
        self.receiver.borrow().is_amid()
    }

    /// Our close, and what becomes of TCP: `[bytes, :stay | :close_after_writing | :abort]`.
    fn close(ruby: &Ruby, this: &Self, code: Option<u16>, reason: Value) -> Result<RArray, Error> {
        let has_codes = this.has_close_codes();
        let reason = string::close_reason(ruby, code.filter(|_| has_codes), reason)?;
        let code = code.map(CloseCode);
        this.ending(ruby, |connection, out| connection.close(code, &reason, Instant::now(), out))
    }

    /// The answer to the peer's close, as [`Protocol::close`].
    fn peer_closed(
        ruby: &Ruby,
        this: &Self,
        code: Option<u16>,
        body: RString,
    ) -> Result<RArray, Error> {
        let body = raw::with_bytes(body, <[u8]>::to_vec);
        let close = PeerClose::new(code.map(CloseCode), &body);
        this.ending(ruby, |connection, out| connection.peer_closed(&close, out))
    }

    /// Fails the connection with the error that `receive` or `time_out` has returned.
    fn fail(ruby: &Ruby, this: &Self) -> Result<RArray, Error> {
        this.ending(ruby, |connection, out| match &*this.error.borrow() {
            Some(error) => connection.fail(error, out),
            None => CloseAction::None,
        })
    }

    fn ending(
        &self,
        ruby: &Ruby,
        end: impl FnOnce(&mut Connection, &mut Vec<u8>) -> CloseAction,
    ) -> Result<RArray, Error> {
        let mut out = Vec::new();
        let progress = end(&mut self.connection.borrow_mut(), &mut out);
        let progress = match progress {
            CloseAction::None => &STAY,
            CloseAction::AfterFlush => &CLOSE_AFTER_WRITING,
            CloseAction::Abort => &ABORT,
        };
        let bytes = raw::binary(ruby, &out)?.as_value();
        Ok(ruby.ary_new_from_values(&[bytes, symbol(ruby, progress)]))
    }

    /// The error where our close is unanswered.
    fn time_out(ruby: &Ruby, this: &Self) -> Result<Option<Value>, Error> {
        let Some(error) = this.connection.borrow_mut().time_out() else {
            return Ok(None);
        };
        let exception = error::protocol(ruby, &error)?;
        *this.error.borrow_mut() = Some(error);
        Ok(Some(exception.as_value()))
    }

    fn set_close_timeout(&self, seconds: f64) {
        self.connection.borrow_mut().set_close_timeout(options::duration(seconds));
    }

    fn state(ruby: &Ruby, this: &Self) -> Symbol {
        symbols::state(ruby, this.connection.borrow().ready_state())
    }

    fn is_pingable(&self) -> bool {
        self.connection.borrow().profile().is_some_and(|profile| profile.pingable)
    }

    fn has_close_codes(&self) -> bool {
        self.connection.borrow().profile().is_some_and(|profile| profile.close_codes)
    }

    fn closed(ruby: &Ruby, this: &Self) -> Result<RHash, Error> {
        let info = this.connection.borrow_mut().closed();
        symbols::close_info(ruby, &info)
    }
}

static STAY: LazyId = LazyId::new("stay");
static CLOSE_AFTER_WRITING: LazyId = LazyId::new("close_after_writing");
static ABORT: LazyId = LazyId::new("abort");

fn symbol(ruby: &Ruby, name: &LazyId) -> Value {
    ruby.into_value(**name)
}

/// Frame that has not been gathered.
fn to_be_sent(frame: Option<Value>) -> Option<RString> {
    frame.and_then(RString::from_value)
}

pub(crate) fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Protocol", ruby.class_object())?;
    class.define_singleton_method("new", function!(Protocol::new, 3))?;
    class.define_method("limit_rate", method!(Protocol::limit_rate, 2))?;
    class.define_method("compress", method!(Protocol::compress, 1))?;
    class.define_method("receive", method!(Protocol::receive, 3))?;
    class.define_method("begin_batch", method!(Protocol::begin_batch, 1))?;
    class.define_method("end_batch", method!(Protocol::end_batch, 0))?;
    class.define_method("text", method!(Protocol::text, 1))?;
    class.define_method("binary", method!(Protocol::binary, 1))?;
    class.define_method("ping", method!(Protocol::ping, 1))?;
    class.define_method("pong", method!(Protocol::pong, 1))?;
    class.define_method("answer", method!(Protocol::answer, 1))?;
    class.define_method("amid?", method!(Protocol::is_amid, 0))?;
    class.define_method("unasked", method!(Protocol::unasked, 0))?;
    class.define_method("close", method!(Protocol::close, 2))?;
    class.define_method("peer_closed", method!(Protocol::peer_closed, 2))?;
    class.define_method("fail", method!(Protocol::fail, 0))?;
    class.define_method("time_out", method!(Protocol::time_out, 0))?;
    class.define_method("close_timeout=", method!(Protocol::set_close_timeout, 1))?;
    class.define_method("state", method!(Protocol::state, 0))?;
    class.define_method("pingable?", method!(Protocol::is_pingable, 0))?;
    class.define_method("supports_close_codes?", method!(Protocol::has_close_codes, 0))?;
    class.define_method("closed", method!(Protocol::closed, 0))?;
    Ok(())
}
