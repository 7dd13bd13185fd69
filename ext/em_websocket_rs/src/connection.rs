//! `Native::Connection`: a background connection, as its Ruby object holds it.

use std::{cell::Cell, sync::Arc, time::Duration};

use em_websocket::{
    error::UsageError,
    protocol::{
        close::{CloseCode, CloseInfo},
        version, Limits, ReadyState,
    },
    server::{tls::TlsServer, Broadcast, Flush, Handle, Incoming, Owner, Sent},
};
use magnus::{
    method, prelude::*, value::LazyId, Error, RArray, RHash, RModule, RObject, RString, Ruby,
    Symbol, Value,
};

use crate::{
    channels,
    convert::{
        error, options,
        string::{binary, close_reason, text},
        symbols,
    },
    flush::{flush, flush_later},
    raw,
    response::Response,
    tls_config::TlsConfig,
};

/// `Native::Connection`.
#[magnus::wrap(class = "EventMachine::WebSocket::Native::Connection", free_immediately, size)]
pub(crate) struct Connection {
    handle: Handle,
    /// Until `onclose` is told.
    owner: Cell<Option<Owner>>,
    /// Socket and TLS of the connection, until it is started.
    pending: Cell<Option<Box<Pending>>>,
}

/// A connection that is not read yet.
pub(crate) struct Pending {
    /// In the table of its server.
    pub(crate) number: u64,
    pub(crate) incoming: Box<Incoming>,
    pub(crate) tls: Option<TlsServer>,
    /// True if the application is asked about the client's certificates.
    verifies: bool,
}

/// Instance variable in which a connection's object holds its `Native::Connection`.
pub(crate) static TRANSPORT: LazyId = LazyId::new("@em_websocket");

static HANDLER: LazyId = LazyId::new("@handler");

/// A time that EventMachine's clock does not count to: no limit there.
const NEVER: Duration = Duration::from_secs(1 << 53);

impl Connection {
    pub(crate) fn new(owner: Owner, incoming: Box<Incoming>, number: u64) -> Self {
        let handle = incoming.handle().clone();
        let pending = Pending { number, incoming, tls: None, verifies: false };
        Self { handle, owner: Some(owner).into(), pending: Some(Box::new(pending)).into() }
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Number of a connection that is not started.
    pub(crate) fn number(&self) -> Option<u64> {
        self.look(|pending| pending.map(|pending| pending.number))
    }

    /// Lends the connection's owner to `act`, which must not call Ruby; `None` once `onclose` has
    /// been told.
    pub(crate) fn with_owner<R>(&self, act: impl FnOnce(&Owner) -> R) -> Option<R> {
        let owner = self.owner.take();
        let result = owner.as_ref().map(act);
        self.owner.set(owner);
        result
    }

    /// Lets go of the connection: how it ended, unless that has been told.
    pub(crate) fn take_closed(&self) -> Option<CloseInfo> {
        self.owner.take().map(Owner::closed)
    }

    pub(crate) fn take_pending(&self) -> Option<Box<Pending>> {
        self.pending.take()
    }

    fn is_started(&self) -> bool {
        self.look(|pending| pending.is_none())
    }

    /// True if it will be encrypted.
    fn has_tls(&self) -> bool {
        self.look(|pending| pending.is_some_and(|pending| pending.tls.is_some()))
    }

    fn verifies(&self) -> bool {
        self.look(|pending| pending.is_some_and(|pending| pending.verifies))
    }

    fn look<R>(&self, look: impl FnOnce(Option<&Pending>) -> R) -> R {
        let pending = self.pending.take();
        let result = look(pending.as_deref());
        self.pending.set(pending);
        result
    }

    /// Encrypts the connection, once it is started.
    fn start_tls(&self, tls: &TlsConfig) {
        if let Some(mut pending) = self.pending.take() {
            pending.tls = Some(tls.server().clone());
            pending.verifies = tls.verify_peer();
            self.pending.set(Some(pending));
        }
    }

    /// `handler` is the connection's: nil before it is open.
    fn send_text(ruby: &Ruby, this: &Self, data: Value, handler: Value) -> Result<(), Error> {
        if handler.is_nil() {
            return Err(error::usage(ruby, &UsageError::SendBeforeOpen));
        }
        let data = text(ruby, data)?;
        this.send(ruby, data, Handle::send_text).map(drop)
    }

    fn send_binary(ruby: &Ruby, this: &Self, data: Value, handler: Value) -> Result<i64, Error> {
        if handler.is_nil() {
            return Err(error::usage(ruby, &UsageError::SendBinaryBeforeOpen));
        }
        let data = binary(data)?;
        Ok(match this.send(ruby, data, Handle::send_binary)? {
            Sent::Bytes(len) | Sent::Unflushed(len) => len as i64,
            Sent::Nothing => -1,
        })
    }

    fn ping(ruby: &Ruby, this: &Self, body: RString) -> Result<bool, Error> {
        this.send(ruby, body, Handle::ping)?;
        Ok(this.is_pingable())
    }

    fn pong(ruby: &Ruby, this: &Self, body: RString) -> Result<bool, Error> {
        this.send(ruby, body, Handle::pong)?;
        Ok(this.is_pingable())
    }

    fn send_data(ruby: &Ruby, this: &Self, data: RString) -> Result<i64, Error> {
        let sent = this.send(ruby, data, |handle, data, flush| Ok(handle.send_raw(data, flush)))?;
        Ok(match sent {
            Sent::Bytes(len) | Sent::Unflushed(len) => len as i64,
            Sent::Nothing => 0,
        })
    }

    fn send(
        &self,
        ruby: &Ruby,
        data: RString,
        send: impl FnOnce(&Handle, &[u8], Flush) -> Result<Sent, UsageError>,
    ) -> Result<Sent, Error> {
        let sent = raw::with_bytes(data, |data| send(&self.handle, data, flush()))
            .map_err(|error| error::usage(ruby, &error))?;
        self.remember(sent);
        Ok(sent)
    }

    /// Sends a message that goes to others, too.
    pub(crate) fn send_shared(&self, message: &Arc<Broadcast>) -> Sent {
        let sent = self.handle.send_shared(message, flush());
        self.remember(sent);
        sent
    }

    /// Notes a connection whose bytes wait for the flush at the end of the drain.
    fn remember(&self, sent: Sent) {
        if let Sent::Unflushed(_) = sent {
            flush_later(&self.handle);
        }
    }

    /// Opens the WebSocket, with this answer where the application was asked before there was one,
    /// gives the connection its handler, and yields: the application is told. Frames are read once
    /// the block has been left, in whatever way. Where the WebSocket cannot be opened any more,
    /// nothing is yielded.
    fn open_websocket(
        ruby: &Ruby,
        this: &Self,
        object: RObject,
        handler: Value,
        version: i64,
        response: Option<&Response>,
    ) -> Result<(), Error> {
        let profile = version::profile(version).ok_or_else(|| {
            error::web_socket(ruby, format!("Protocol version {version} not supported"))
        })?;
        let opening = this.with_owner(|owner| match response {
            Some(response) => owner.open_with(&response.to_bytes(), profile),
            None => owner.open(profile),
        });
        let Some(_opening) = opening.flatten() else { return Ok(()) };
        object.ivar_set(*HANDLER, handler)?;
        ruby.yield_value::<_, Value>(ruby.qnil()).map(drop)
    }

    /// Sends an answer that opens no WebSocket, and ends the connection.
    fn refuse(&self, response: RString) -> bool {
        raw::with_bytes(response, |response| self.handle.reject_handshake(response))
    }

    /// Decides, for whoever writes a response that opens no WebSocket by himself: `false` where it was
    /// decided before.
    fn begin_response(&self) -> bool {
        self.handle.begin_response()
    }

    fn ask(&self) {
        self.handle.ask();
    }

    fn set_deferred(&self, deferred: bool) {
        self.handle.set_deferred(deferred);
    }

    fn is_let_in(&self) -> bool {
        self.handle.is_let_in()
    }

    fn is_ending(&self) -> bool {
        self.handle.is_ending()
    }

    fn close_websocket(
        ruby: &Ruby,
        this: &Self,
        code: Option<u16>,
        reason: Value,
    ) -> Result<(), Error> {
        let has_codes = this.has_close_codes();
        let reason = close_reason(ruby, code.filter(|_| has_codes), reason)?;
        this.handle.close(code.map(CloseCode), &reason);
        Ok(())
    }

    /// The application has not asked for the close that follows.
    fn unasked(&self) {
        self.handle.unasked();
    }

    fn close_connection(&self, after_writing: bool) {
        if after_writing {
            self.handle.close_after_writing();
        } else {
            self.handle.abort();
        }
    }

    fn state(ruby: &Ruby, this: &Self) -> Symbol {
        symbols::state(ruby, this.handle.ready_state())
    }

    fn is_pingable(&self) -> bool {
        self.handle.profile().is_some_and(|profile| profile.pingable)
    }

    fn has_close_codes(&self) -> bool {
        self.handle.profile().is_some_and(|profile| profile.close_codes)
    }

    fn limit(&self, frame: Value, message: Value) -> Result<(), Error> {
        let (frame, message) = (options::limit(frame)?, options::limit(message)?);
        self.handle.set_limits(Limits { frame, message, ..self.handle.limits() });
        Ok(())
    }

    /// Seconds; 0 where there is no limit.
    fn inactivity_timeout(&self) -> f64 {
        self.handle.inactivity_timeout().map_or(0.0, |timeout| timeout.as_secs_f64())
    }

    fn set_inactivity_timeout(&self, seconds: f64) {
        let timeout = Duration::try_from_secs_f64(seconds).ok();
        let is_limit = |timeout: &Duration| !timeout.is_zero() && *timeout < NEVER;
        self.handle.set_inactivity_timeout(timeout.filter(is_limit));
    }

    /// `[cipher, bits, protocol, server name, [PEM, ...]]`, or nil without TLS.
    fn tls_session(ruby: &Ruby, this: &Self) -> Result<Option<RArray>, Error> {
        let Some(session) = this.handle.tls_session() else { return Ok(None) };
        let result = ruby.ary_new_capa(5);
        result.push(session.cipher)?;
        result.push(session.cipher_bits)?;
        result.push(session.protocol)?;
        result.push(session.server_name)?;
        result.push(ruby.ary_from_vec(session.peer_certificates))?;
        Ok(Some(result))
    }

    fn set_close_timeout(&self, seconds: f64) {
        self.handle.set_close_timeout(options::duration(seconds));
    }

    fn set_paused(&self, paused: bool) {
        self.handle.set_paused(paused);
    }

    fn is_paused(&self) -> bool {
        self.handle.is_paused()
    }

    fn outbound_data_size(&self) -> usize {
        self.handle.outbound_len()
    }

    fn set_high_water(&self, bytes: Value) -> Result<(), Error> {
        self.handle.set_high_water(options::limit(bytes)?);
        Ok(())
    }

    /// Address and port; nil for a socket of Unix.
    fn peer(&self) -> Option<(String, u16)> {
        let peer = self.handle.peer_addr()?;
        Some((peer.ip().to_string(), peer.port()))
    }

    /// The client's address as proxies say it is; nil where none has said.
    fn client_ip(&self) -> Option<String> {
        self.handle.client_ip().map(|address| address.to_string())
    }

    /// Messages and bytes that were received, and those that were sent.
    fn traffic(&self) -> Vec<u64> {
        self.handle.totals().to_vec()
    }

    /// Limit that has ended the connection, by its option; nil where none has.
    fn ended_by(&self) -> Option<&'static str> {
        self.handle.ended_by()
    }

    fn is_forwarded(&self) -> bool {
        self.handle.is_forwarded()
    }

    /// Sets the client's address, as its request's header says.
    fn set_client_ip(&self, address: String) {
        if let Ok(address) = address.parse() {
            self.handle.set_client_ip(address, true);
        }
    }

    /// Address and port; nil for a socket of Unix.
    fn local(&self) -> Option<(String, u16)> {
        let local = self.handle.local_addr()?;
        Some((local.ip().to_string(), local.port()))
    }

    /// Path of a socket of Unix; nil for one of TCP.
    fn unix_path(ruby: &Ruby, this: &Self) -> Result<Option<RString>, Error> {
        let path = this.handle.unix_path().map(|path| path.as_os_str().as_encoded_bytes());
        path.map(|path| raw::text(ruby, path, None)).transpose()
    }

    /// Lets go of the connection: what `onclose` is told.
    fn closed(ruby: &Ruby, this: &Self) -> Result<RHash, Error> {
        symbols::close_info(ruby, &this.take_closed().unwrap_or(CloseInfo::abnormal()))
    }

    fn is_closed(&self) -> bool {
        self.handle.ready_state() == ReadyState::Closed
    }
}

pub(crate) fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Connection", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("send_text", method!(Connection::send_text, 2))?;
    class.define_method("send_binary", method!(Connection::send_binary, 2))?;
    class.define_method("ping", method!(Connection::ping, 1))?;
    class.define_method("pong", method!(Connection::pong, 1))?;
    class.define_method("send_data", method!(Connection::send_data, 1))?;
    class.define_method("open_websocket", method!(Connection::open_websocket, 4))?;
    class.define_method("begin_response", method!(Connection::begin_response, 0))?;
    class.define_method("ask", method!(Connection::ask, 0))?;
    class.define_method("deferred=", method!(Connection::set_deferred, 1))?;
    class.define_method("let_in?", method!(Connection::is_let_in, 0))?;
    class.define_method("ending?", method!(Connection::is_ending, 0))?;
    class.define_method("refuse", method!(Connection::refuse, 1))?;
    class.define_method("close_websocket", method!(Connection::close_websocket, 2))?;
    class.define_method("unasked", method!(Connection::unasked, 0))?;
    class.define_method("close_connection", method!(Connection::close_connection, 1))?;
    class.define_method("state", method!(Connection::state, 0))?;
    class.define_method("pingable?", method!(Connection::is_pingable, 0))?;
    class.define_method("supports_close_codes?", method!(Connection::has_close_codes, 0))?;
    class.define_method("started?", method!(Connection::is_started, 0))?;
    class.define_method("start_tls", method!(Connection::start_tls, 1))?;
    class.define_method("verifies?", method!(Connection::verifies, 0))?;
    class.define_method("tls?", method!(Connection::has_tls, 0))?;
    class.define_method("limit", method!(Connection::limit, 2))?;
    class.define_method("inactivity_timeout", method!(Connection::inactivity_timeout, 0))?;
    class.define_method("inactivity_timeout=", method!(Connection::set_inactivity_timeout, 1))?;
    class.define_method("tls_session", method!(Connection::tls_session, 0))?;
    class.define_method("close_timeout=", method!(Connection::set_close_timeout, 1))?;
    class.define_method("paused=", method!(Connection::set_paused, 1))?;
    class.define_method("paused?", method!(Connection::is_paused, 0))?;
    class.define_method("subscribe", method!(channels::subscribe, 3))?;
    class.define_method("unsubscribe", method!(channels::unsubscribe, 1))?;
    class.define_method("unsubscribe_all", method!(channels::unsubscribe_all, 0))?;
    class.define_method("subscriptions", method!(channels::subscriptions, 0))?;
    class.define_method("outbound_data_size", method!(Connection::outbound_data_size, 0))?;
    class.define_method("high_water=", method!(Connection::set_high_water, 1))?;
    class.define_method("peer", method!(Connection::peer, 0))?;
    class.define_method("client_ip", method!(Connection::client_ip, 0))?;
    class.define_method("traffic", method!(Connection::traffic, 0))?;
    class.define_method("ended_by", method!(Connection::ended_by, 0))?;
    class.define_method("forwarded?", method!(Connection::is_forwarded, 0))?;
    class.define_method("client_ip=", method!(Connection::set_client_ip, 1))?;
    class.define_method("local", method!(Connection::local, 0))?;
    class.define_method("unix_path", method!(Connection::unix_path, 0))?;
    class.define_method("closed", method!(Connection::closed, 0))?;
    class.define_method("closed?", method!(Connection::is_closed, 0))?;
    Ok(())
}
