//! `Native::Server`: a server, and what is kept of its connections.

use std::{
    cell::{Cell, RefCell},
    mem,
    net::SocketAddr,
    os::fd::AsRawFd,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use em_websocket::server::{slot, Batch, ConnectionOptions, Cork, Handle, Sent, Slots};
use magnus::{
    function, gc, method,
    prelude::*,
    symbol::IntoSymbol,
    typed_data::Obj,
    value::{LazyId, Opaque},
    DataTypeFunctions, Error, RArray, RHash, RModule, RObject, RString, Ruby, TypedData, Value,
};

use crate::{
    bytes,
    drain::Drains,
    error,
    handle::{Connection, Corked},
    settings::Settings,
    stats,
};

/// `Native::Server`.
#[derive(TypedData)]
#[magnus(class = "EventMachine::WebSocket::Native::Server", free_immediately, mark, size)]
pub(crate) struct Server {
    /// Until it is released.
    core: RefCell<Option<em_websocket::server::Server>>,
    local: SocketAddr,
    pub(crate) batch: RefCell<Batch>,
    pub(crate) slots: RefCell<Slots<Slot>>,
    pub(crate) drain_batch: usize,
    pub(crate) drains: Cell<Drains>,
    signature: u64,
    /// True once it is being ended, which happens once.
    has_ended: Cell<bool>,
    /// The connections' objects, by number: an Array, so that the garbage collector need not walk
    /// them each time.
    pub(crate) objects: Opaque<RArray>,
}

impl DataTypeFunctions for Server {
    fn mark(&self, marker: &gc::Marker) {
        marker.mark(self.objects);
    }
}

/// Entry that is kept of a connection.
pub(crate) struct Slot {
    pub(crate) handle: Handle,
}

/// EventMachine counts its signatures up from 1. Those of servers count from here, and those of
/// connections are `CONNECTION` and more: where the connection has its place, and which of those that
/// have had it it is, so that nothing else need know them.
const FIRST_SIGNATURE: u64 = 1 << 48;
const CONNECTION: u64 = 1 << 60;

/// Number of bits for the place. A server would need 16 million connections at a time for more;
/// those could not be found by their signatures.
const PLACE: u32 = 24;

/// Number by which EventMachine's functions know a connection.
pub(crate) fn signature(number: u64) -> u64 {
    let place = number & ((1 << PLACE) - 1);
    CONNECTION | (number >> 32) << PLACE | place
}

/// The number of a connection with this signature.
fn number(signature: u64) -> u64 {
    let place = signature & ((1 << PLACE) - 1);
    ((signature & !CONNECTION) >> PLACE) << 32 | place
}

/// Number of servers there have been.
static SERVERS: AtomicU64 = AtomicU64::new(0);

impl Server {
    fn bind(ruby: &Ruby, host: String, port: u16, settings: &Settings) -> Result<Self, Error> {
        let core = em_websocket::server::Server::bind(&host, port, settings.server.clone())
            .map_err(|error| error::bind(ruby, &error))?;
        Ok(Self {
            local: core.local_addr(),
            core: RefCell::new(Some(core)),
            batch: RefCell::default(),
            slots: RefCell::default(),
            drain_batch: settings.drain_batch,
            drains: Cell::default(),
            signature: FIRST_SIGNATURE + SERVERS.fetch_add(1, Relaxed) + 1,
            has_ended: Cell::default(),
            objects: ruby.ary_new().into(),
        })
    }

    pub(crate) fn with<R>(
        &self,
        act: impl FnOnce(&em_websocket::server::Server) -> R,
    ) -> Option<R> {
        self.core.borrow().as_ref().map(act)
    }

    fn fd(&self) -> Option<i32> {
        self.with(|core| core.queue().as_raw_fd())
    }

    fn local(&self) -> (String, u16) {
        (self.local.ip().to_string(), self.local.port())
    }

    fn signature(&self) -> u64 {
        self.signature
    }

    /// True the first time that it is asked, by whatever thread.
    fn may_end(&self) -> bool {
        !self.has_ended.replace(true)
    }

    fn is_listening(&self) -> bool {
        self.with(em_websocket::server::Server::is_listening).unwrap_or(false)
    }

    fn stop_listening(&self) {
        self.with(em_websocket::server::Server::stop_listening);
    }

    /// Aborts every connection, and returns when their sockets are closed. Where they are not in
    /// time, which would be a defect, it says so and lets them be.
    fn stop(ruby: &Ruby, this: &Self) -> Result<(), Error> {
        match this.with(em_websocket::server::Server::stop) {
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
        this.slots.take();
        ruby.get_inner(this.objects).clear()
    }

    /// In a forked child: lets go of the parent's server, maybe while it is being drained. The descriptors that are returned are to
    /// be closed.
    fn abandon(&self) -> Vec<i32> {
        mem::forget(self.batch.take());
        mem::forget(self.slots.take());
        self.core.take().map(em_websocket::server::Server::abandon).unwrap_or_default()
    }

    /// Whether something has happened that has not been told.
    fn is_waiting(&self) -> bool {
        !self.batch.borrow().is_empty()
            || self.with(|core| !core.queue().is_empty()).unwrap_or(false)
    }

    /// The objects of the connections that are there.
    fn connections(ruby: &Ruby, this: &Self) -> Result<RArray, Error> {
        ruby.get_inner(this.objects).funcall("compact", ())
    }

    /// Sends bytes as they are to the connection with this signature; -1 where that is not here.
    fn send_data(&self, signature: u64, data: RString) -> i64 {
        let number = number(signature);
        let slots = self.slots.borrow();
        match slots.get(number).filter(|_| signature >= CONNECTION) {
            None => -1,
            Some(slot) => {
                bytes::with_bytes(data, |data| match slot.handle.send_raw(data, Cork::No) {
                    Sent::Bytes(len) | Sent::Corked(len) => len as i64,
                    Sent::Nothing => -1,
                })
            }
        }
    }

    /// What has been seen and done so far.
    fn stats(ruby: &Ruby, this: &Self) -> Result<Option<RHash>, Error> {
        let Some(stats) = this.with(em_websocket::server::Server::stats) else { return Ok(None) };
        stats::hash(ruby, stats, this.drains.get()).map(Some)
    }

    fn size(&self) -> usize {
        self.slots.borrow().len()
    }

    /// The object of the connection with this signature, while that is there.
    fn find(ruby: &Ruby, this: &Self, signature: u64) -> Result<Option<Value>, Error> {
        let number = number(signature);
        if signature < CONNECTION || this.slots.borrow().get(number).is_none() {
            return Ok(None);
        }
        ruby.get_inner(this.objects).entry(slot(number) as isize)
    }

    /// Keeps the object of a connection alive while it is there, and gives it what it is.
    fn adopt(
        ruby: &Ruby,
        this: &Self,
        connection: Obj<Connection>,
        object: RObject,
    ) -> Result<(), Error> {
        let number = connection.number();
        object.ivar_set(*TRANSPORT, connection)?;
        object.ivar_set(*SIGNATURE, signature(number))?;
        if this.slots.borrow().get(number).is_none() {
            return Ok(());
        }
        ruby.get_inner(this.objects).store(slot(number) as isize, object)
    }

    /// Begins to read a connection. `traits` are what its object has found to be true of it, among
    /// `:raw`, `:asks`, `:strict`, `:announce_tls`, `:plain_http`.
    fn start(
        ruby: &Ruby,
        _this: &Self,
        connection: &Connection,
        object: RObject,
        settings: &Settings,
        traits: RArray,
    ) -> Result<(), Error> {
        let Some(pending) = connection.take_pending() else { return Ok(()) };
        // Most have none.
        let is = |name: &LazyId| !traits.is_empty() && traits.includes(name.into_symbol_with(ruby));
        let handle = connection.handle();
        let mut limits = handle.limits();
        limits.require_masked = is(&STRICT);
        let options = ConnectionOptions {
            tls: pending.tls.map(|tls| tls.config),
            asks: is(&ASKS),
            secure: object.ivar_get::<_, Value>(*SECURE)?.to_bool()
                || object.ivar_get::<_, Value>(*SECURE_PROXY)?.to_bool(),
            raw: is(&RAW),
            strict: is(&STRICT),
            tells_plain_http: is(&PLAIN_HTTP),
            announces_tls: is(&ANNOUNCE_TLS),
            limits,
            close_timeout: handle.close_timeout(),
            ..settings.connection.clone()
        };
        pending.incoming.start(connection.number(), &options);
        Ok(())
    }
}

static STRICT: LazyId = LazyId::new("strict");
static ASKS: LazyId = LazyId::new("asks");
static PLAIN_HTTP: LazyId = LazyId::new("plain_http");
static SECURE: LazyId = LazyId::new("@secure");
static SECURE_PROXY: LazyId = LazyId::new("@secure_proxy");
static SIGNATURE: LazyId = LazyId::new("@signature");
pub(crate) static TRANSPORT: LazyId = LazyId::new("@em_websocket");
static RAW: LazyId = LazyId::new("raw");
static ANNOUNCE_TLS: LazyId = LazyId::new("announce_tls");

/// In a forked child: what was there before is the parent's.
fn forked() {
    em_websocket::server::forked();
    Corked::forked();
}

pub(crate) fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Server", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_singleton_method("bind", function!(Server::bind, 3))?;
    class.define_method("signature", method!(Server::signature, 0))?;
    class.define_method("may_end?", method!(Server::may_end, 0))?;
    class.define_method("send_data", method!(Server::send_data, 2))?;
    class.define_method("find", method!(Server::find, 1))?;
    class.define_method("fd", method!(Server::fd, 0))?;
    class.define_method("local", method!(Server::local, 0))?;
    class.define_method("listening?", method!(Server::is_listening, 0))?;
    class.define_method("stop_listening", method!(Server::stop_listening, 0))?;
    class.define_method("stop", method!(Server::stop, 0))?;
    class.define_method("release", method!(Server::release, 0))?;
    class.define_method("abandon", method!(Server::abandon, 0))?;
    native.define_module_function("forked", function!(forked, 0))?;
    class.define_method("waiting?", method!(Server::is_waiting, 0))?;
    class.define_method("connections", method!(Server::connections, 0))?;
    class.define_method("stats", method!(Server::stats, 0))?;
    class.define_method("size", method!(Server::size, 0))?;
    class.define_method("adopt", method!(Server::adopt, 2))?;
    class.define_method("start", method!(Server::start, 4))?;
    class.define_method("drain", method!(Server::drain, 1))?;
    Ok(())
}
