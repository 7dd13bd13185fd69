//! `Native::Server`: a server, and what is kept of its connections.

use std::{
    cell::{Cell, RefCell},
    ffi::OsString,
    mem,
    os::{
        fd::AsRawFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
};

use em_websocket::server::{
    Batch, ConnectionOptions, Flush, Listen, ListenAddress, Sent, Server as Core,
};
use magnus::{
    function, gc, method, prelude::*, symbol::IntoSymbol, typed_data::Obj, value::LazyId,
    DataTypeFunctions, Error, RArray, RHash, RModule, RObject, RString, Ruby, TypedData, Value,
};

use crate::{
    connection::{Connection, Pending, TRANSPORT},
    connection_table::ConnectionTable,
    convert::error,
    raw,
    request::Request,
    settings::Settings,
    signature,
    stats::{self, Drains},
};

/// `Native::Server`.
#[derive(TypedData)]
#[magnus(class = "EventMachine::WebSocket::Native::Server", free_immediately, mark, size)]
pub(crate) struct Server {
    /// Server of the core, until it is released.
    core: RefCell<Option<Core>>,
    address: ListenAddress,
    pub(crate) batch: RefCell<Batch>,
    /// Request of the connection that is being opened, until somebody asks for it: an application
    /// that does not look at it pays for no object.
    pub(crate) request: Cell<Option<Request>>,
    pub(crate) connections: ConnectionTable,
    pub(crate) drain_batch: usize,
    pub(crate) drains: RefCell<Drains>,
    signature: u64,
    /// True once it is being ended, which happens once.
    has_ended: Cell<bool>,
}

impl DataTypeFunctions for Server {
    fn mark(&self, marker: &gc::Marker) {
        self.connections.mark(marker);
    }
}

impl Server {
    /// Listens on an address of TCP, maybe with others.
    fn bind(
        ruby: &Ruby,
        host: String,
        port: u16,
        reuse_port: bool,
        settings: &Settings,
    ) -> Result<Self, Error> {
        Self::listen(ruby, Listen::Address { host, port, reuse_port }, settings)
    }

    /// Listens on a socket of Unix that is made at the path.
    fn bind_path(
        ruby: &Ruby,
        path: RString,
        mode: u32,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let path = OsString::from_vec(raw::with_bytes(path, <[u8]>::to_vec)).into();
        Self::listen(ruby, Listen::Path { path, mode }, settings)
    }

    /// Listens on a duplicate of a descriptor.
    fn bind_socket(ruby: &Ruby, fd: i32, settings: &Settings) -> Result<Self, Error> {
        let socket = raw::duplicate(ruby, fd).map_err(|source| error::descriptor(ruby, &source))?;
        Self::listen(ruby, Listen::Socket(socket), settings)
    }

    fn listen(ruby: &Ruby, place: Listen, settings: &Settings) -> Result<Self, Error> {
        let core = Core::listen(place, settings.server.clone())
            .map_err(|error| error::bind(ruby, &error))?;
        Ok(Self {
            address: core.address().clone(),
            core: RefCell::new(Some(core)),
            batch: RefCell::default(),
            request: Cell::default(),
            connections: ConnectionTable::new(ruby),
            drain_batch: settings.drain_batch,
            drains: RefCell::default(),
            signature: signature::of_next_server(),
            has_ended: Cell::default(),
        })
    }

    pub(crate) fn with<R>(&self, act: impl FnOnce(&Core) -> R) -> Option<R> {
        self.core.borrow().as_ref().map(act)
    }

    fn fd(&self) -> Option<i32> {
        self.with(|core| core.queue().as_raw_fd())
    }

    /// Address and port that are listened on, or the path of a socket of Unix.
    fn local(ruby: &Ruby, this: &Self) -> Result<Value, Error> {
        match &this.address {
            ListenAddress::Inet(address) => {
                let address = (address.ip().to_string(), address.port());
                Ok(ruby.into_value(address))
            }
            ListenAddress::Unix(path) => {
                raw::text(ruby, path.as_os_str().as_bytes(), None).map(RString::as_value)
            }
        }
    }

    fn take_request(&self) -> Option<Request> {
        self.request.take()
    }

    fn signature(&self) -> u64 {
        self.signature
    }

    /// True the first time that it is asked, by whatever thread.
    fn may_end(&self) -> bool {
        !self.has_ended.replace(true)
    }

    fn is_listening(&self) -> bool {
        self.with(Core::is_listening).unwrap_or(false)
    }

    fn stop_listening(&self) {
        self.with(Core::stop_listening);
    }

    /// Lets nobody in any more; see the core's.
    fn restart(&self) {
        self.with(Core::restart);
    }

    /// True while clients are being answered that they are not let in.
    fn is_rejecting(&self) -> bool {
        self.with(Core::is_rejecting).unwrap_or(false)
    }

    /// Aborts every connection, and returns when their sockets are closed. Where they are not in
    /// time, which would be a defect, it says so and lets them be.
    fn stop(ruby: &Ruby, this: &Self) -> Result<(), Error> {
        match this.with(Core::stop) {
            Some(Err(error)) => {
                let warning = (format!("em-websocket: {error}"),);
                ruby.module_kernel().funcall::<_, _, Value>("warn", warning).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Lets go of everything, after [`stop`](Self::stop).
    fn release(ruby: &Ruby, this: &Self) -> Result<(), Error> {
        this.core.take();
        this.batch.take();
        this.connections.clear(ruby)
    }

    /// Lets go of the parent's server in a forked child, maybe while it is being drained. The
    /// descriptors that are returned are to be closed.
    fn abandon(&self) -> Vec<i32> {
        mem::forget(self.batch.take());
        self.connections.abandon();
        self.core.take().map(Core::abandon).unwrap_or_default()
    }

    /// True if something has happened that has not been delivered.
    fn is_waiting(&self) -> bool {
        !self.batch.borrow().is_empty()
            || self.with(|core| !core.queue().is_empty()).unwrap_or(false)
    }

    /// The objects of the connections that are there.
    fn connections(ruby: &Ruby, this: &Self) -> Result<RArray, Error> {
        this.connections.objects(ruby)
    }

    /// Sends bytes as they are to the connection with this signature; -1 where that is not here.
    fn send_data(&self, signature: u64, data: RString) -> i64 {
        let sent = signature::connection_number(signature).and_then(|number| {
            raw::with_bytes(data, |data| {
                self.connections.with_handle(number, |handle| handle.send_raw(data, Flush::Now))
            })
        });
        match sent {
            Some(Sent::Bytes(len) | Sent::Unflushed(len)) => len as i64,
            Some(Sent::Nothing) | None => -1,
        }
    }

    /// Counters of the server, as a Hash.
    fn stats(ruby: &Ruby, this: &Self) -> Result<Option<RHash>, Error> {
        let Some(stats) = this.with(Core::stats) else { return Ok(None) };
        let drains = *this.drains.borrow();
        stats::hash(ruby, stats, drains).map(Some)
    }

    /// See [`Drains::histograms`].
    fn histograms(ruby: &Ruby, this: &Self) -> Result<RArray, Error> {
        let drains = *this.drains.borrow();
        drains.histograms(ruby)
    }

    fn size(&self) -> usize {
        self.connections.len()
    }

    /// The object of the connection with this signature, while that is there.
    fn find(ruby: &Ruby, this: &Self, signature: u64) -> Result<Option<RObject>, Error> {
        match signature::connection_number(signature) {
            Some(number) => this.connections.object(ruby, number),
            None => Ok(None),
        }
    }

    /// Keeps the object of a connection alive while it is there, and gives it what it is.
    fn adopt(
        ruby: &Ruby,
        this: &Self,
        connection: Obj<Connection>,
        object: RObject,
    ) -> Result<(), Error> {
        let Some(number) = connection.number() else { return Ok(()) };
        object.ivar_set(*TRANSPORT, connection)?;
        object.ivar_set(*SIGNATURE, signature::of_connection(number))?;
        this.connections.adopt(ruby, number, object)
    }

    /// Begins to read a connection. `flags` are what its object has found to be true of it, among
    /// `:raw`, `:asks`, `:strict`, `:announce_tls`, `:plain_http`, `:http`.
    fn start(
        ruby: &Ruby,
        this: &Self,
        connection: &Connection,
        object: RObject,
        settings: &Settings,
        flags: RArray,
    ) -> Result<(), Error> {
        let Some(pending) = connection.take_pending() else { return Ok(()) };
        let Pending { number, incoming, tls, .. } = *pending;
        // Most have none.
        let is = |name: &LazyId| !flags.is_empty() && flags.includes(name.into_symbol_with(ruby));
        let handle = connection.handle();
        let mut limits = handle.limits();
        limits.require_masked = is(&STRICT);
        let options = ConnectionOptions {
            tls_hosts: tls.as_ref().and_then(|tls| tls.hosts.clone()),
            tls: tls.map(|tls| tls.config),
            asks_application: is(&ASKS),
            secure: object.ivar_get::<_, Value>(*SECURE)?.to_bool()
                || object.ivar_get::<_, Value>(*SECURE_PROXY)?.to_bool(),
            raw: is(&RAW),
            strict: is(&STRICT),
            reports_plain_http: is(&PLAIN_HTTP),
            http_body: is(&HTTP).then_some(settings.http_body),
            awaits_tls_verify: is(&ANNOUNCE_TLS),
            limits,
            close_timeout: handle.close_timeout(),
            ..settings.connection.clone()
        };
        this.with(|core| core.start(*incoming, number, &options));
        Ok(())
    }
}

static STRICT: LazyId = LazyId::new("strict");
static ASKS: LazyId = LazyId::new("asks");
static PLAIN_HTTP: LazyId = LazyId::new("plain_http");
static HTTP: LazyId = LazyId::new("http");
static SECURE: LazyId = LazyId::new("@secure");
static SECURE_PROXY: LazyId = LazyId::new("@secure_proxy");
static SIGNATURE: LazyId = LazyId::new("@signature");
static RAW: LazyId = LazyId::new("raw");
static ANNOUNCE_TLS: LazyId = LazyId::new("announce_tls");

pub(crate) fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Server", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_singleton_method("bind", function!(Server::bind, 4))?;
    class.define_singleton_method("bind_path", function!(Server::bind_path, 3))?;
    class.define_singleton_method("bind_socket", function!(Server::bind_socket, 2))?;
    class.define_method("signature", method!(Server::signature, 0))?;
    class.define_method("take_request", method!(Server::take_request, 0))?;
    class.define_method("may_end?", method!(Server::may_end, 0))?;
    class.define_method("send_data", method!(Server::send_data, 2))?;
    class.define_method("find", method!(Server::find, 1))?;
    class.define_method("fd", method!(Server::fd, 0))?;
    class.define_method("local", method!(Server::local, 0))?;
    class.define_method("listening?", method!(Server::is_listening, 0))?;
    class.define_method("stop_listening", method!(Server::stop_listening, 0))?;
    class.define_method("restart", method!(Server::restart, 0))?;
    class.define_method("rejecting?", method!(Server::is_rejecting, 0))?;
    class.define_method("stop", method!(Server::stop, 0))?;
    class.define_method("release", method!(Server::release, 0))?;
    class.define_method("abandon", method!(Server::abandon, 0))?;
    class.define_method("waiting?", method!(Server::is_waiting, 0))?;
    class.define_method("connections", method!(Server::connections, 0))?;
    class.define_method("stats", method!(Server::stats, 0))?;
    class.define_method("histograms", method!(Server::histograms, 0))?;
    class.define_method("size", method!(Server::size, 0))?;
    class.define_method("adopt", method!(Server::adopt, 2))?;
    class.define_method("start", method!(Server::start, 4))?;
    class.define_method("drain", method!(Server::drain, 1))?;
    Ok(())
}
