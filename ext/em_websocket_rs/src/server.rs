//! `Native::Server`: a server, and the draining of its queue on the reactor's thread.

use std::{
    cell::{Cell, RefCell},
    mem,
    net::SocketAddr,
    os::fd::AsRawFd,
    sync::Arc,
    time::{Duration, Instant},
};

use em_websocket::server::{
    Batch, ConnectionOptions, Delivery, Handle, Incoming, Kind, Opened, Record,
};
use magnus::{
    function, gc, method,
    prelude::*,
    symbol::IntoSymbol,
    typed_data::Obj,
    value::{LazyId, Opaque},
    DataTypeFunctions, Error, RArray, RClass, RHash, RModule, RObject, Ruby, TypedData, Value,
};

use crate::{
    answer::Answer,
    block, bytes, error, event,
    handle::{Connection, Corked},
    handshake::Request,
    options::TlsConfig,
    settings::Settings,
    stats,
    tally::Tally,
};

/// `Native::Server`.
#[derive(TypedData)]
#[magnus(class = "EventMachine::WebSocket::Native::Server", free_immediately, mark, size)]
pub(crate) struct Server {
    /// Until it is released.
    core: RefCell<Option<em_websocket::server::Server>>,
    local: SocketAddr,
    batch: RefCell<Batch>,
    slots: RefCell<Slots>,
    drain_batch: usize,
    drains: Cell<Drains>,
    /// The connections' objects, by number: an Array, so that the garbage collector need not walk
    /// them each time.
    objects: Opaque<RArray>,
}

impl DataTypeFunctions for Server {
    fn mark(&self, marker: &gc::Marker) {
        marker.mark(self.objects);
    }
}

/// The connections, by number.
#[derive(Default)]
struct Slots {
    used: Vec<Option<Slot>>,
    free: Vec<u32>,
}

struct Slot {
    handle: Handle,
    /// Whether the application has its own `trigger_on_...`.
    triggers: bool,
}

impl Slots {
    fn add(&mut self, handle: Handle) -> u32 {
        let slot = Some(Slot { handle, triggers: false });
        match self.free.pop() {
            Some(number) => {
                self.used[number as usize] = slot;
                number
            }
            None => {
                self.used.push(slot);
                (self.used.len() - 1) as u32
            }
        }
    }

    fn remove(&mut self, number: u32) {
        if self.used[number as usize].take().is_some() {
            self.free.push(number);
        }
    }

    fn get(&self, number: u32) -> Option<&Slot> {
        self.used.get(number as usize)?.as_ref()
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut Slot> {
        self.used.get_mut(number as usize)?.as_mut()
    }
}

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
            objects: ruby.ary_new().into(),
        })
    }

    fn with<R>(&self, act: impl FnOnce(&em_websocket::server::Server) -> R) -> Option<R> {
        self.core.borrow().as_ref().map(act)
    }

    fn fd(&self) -> Option<i32> {
        self.with(|core| core.queue().as_raw_fd())
    }

    fn local(&self) -> (String, u16) {
        (self.local.ip().to_string(), self.local.port())
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

    /// In a forked child: lets go of the parent's server. The descriptors that are returned are to
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

    /// What has been seen and done so far.
    fn stats(ruby: &Ruby, this: &Self) -> Result<Option<RHash>, Error> {
        let Some(stats) = this.with(em_websocket::server::Server::stats) else { return Ok(None) };
        stats::hash(ruby, stats, this.drains.get()).map(Some)
    }

    fn size(&self) -> usize {
        let slots = self.slots.borrow();
        slots.used.len() - slots.free.len()
    }

    /// Keeps the object of a connection alive while it is there.
    fn adopt(
        ruby: &Ruby,
        this: &Self,
        connection: &Connection,
        object: Value,
    ) -> Result<(), Error> {
        ruby.get_inner(this.objects).store(connection.number() as isize, object)
    }

    /// Begins to read a connection. `traits` are what its object has found to be true of it, among
    /// `:secure`, `:raw`, `:asks`, `:triggers`, `:strict`, `:announce_tls`.
    fn start(
        ruby: &Ruby,
        this: &Self,
        connection: &Connection,
        tls: Option<Obj<TlsConfig>>,
        settings: &Settings,
        traits: RArray,
    ) {
        let Some(incoming) = connection.take_incoming() else { return };
        // Most have none.
        let is = |name: &LazyId| !traits.is_empty() && traits.includes(name.into_symbol_with(ruby));
        if let Some(slot) = this.slots.borrow_mut().get_mut(connection.number()) {
            slot.triggers = is(&TRIGGERS);
        }
        let handle = connection.handle();
        let mut limits = handle.limits();
        limits.require_masked = is(&STRICT);
        let options = ConnectionOptions {
            tls: tls.map(|tls| tls.server().config.clone()),
            asks: is(&ASKS),
            secure: is(&SECURE),
            raw: is(&RAW),
            strict: is(&STRICT),
            announces_tls: is(&ANNOUNCE_TLS),
            limits,
            close_timeout: handle.close_timeout(),
            ..settings.connection.clone()
        };
        incoming.start(connection.number(), &options);
    }

    /// Tells what has happened, on this thread: a batch, in order. `owner.accept(connection)` makes
    /// the object of a new connection. An exception leaves; the rest stays queued.
    fn drain(ruby: &Ruby, this: Obj<Self>, owner: Value) -> Result<(), Error> {
        let _timed = Timed::begin(&this.drains);
        let Some(corked) = this.with(|core| Arc::clone(core.queue().corked())) else {
            return Ok(());
        };
        let corked = Corked::begin(corked);
        let mut tally = Tally::new(&corked);
        if this.batch.borrow().is_empty() {
            this.with(|core| core.queue().take(&mut this.batch.borrow_mut()));
        }
        let mut result = Ok(());
        for _ in 0..this.drain_batch {
            let Some(record) = this.next() else {
                return Ok(());
            };
            result = this.deliver(ruby, owner, record, &mut tally);
            if result.is_err() {
                break;
            }
        }
        this.with(|core| core.queue().wake());
        result
    }

    /// The next record of the batch that is being drained.
    fn next(&self) -> Option<Record> {
        let mut batch = self.batch.borrow_mut();
        let record = batch.pop();
        if record.is_none() {
            batch.clear();
        }
        record
    }

    fn deliver(
        &self,
        ruby: &Ruby,
        owner: Value,
        record: Record,
        tally: &mut Tally<'_>,
    ) -> Result<(), Error> {
        let number = record.connection;
        let (kind, string, len) = match record.delivery {
            Delivery::Accepted(incoming) => return self.accept(ruby, owner, incoming),
            Delivery::Message(kind, span) => {
                let batch = self.batch.borrow();
                let bytes = batch.bytes(span);
                let string = match kind {
                    Kind::Text => bytes::text(ruby, bytes, span.charset()),
                    Kind::Binary | Kind::Ping | Kind::Pong => bytes::binary(ruby, bytes),
                };
                (kind, string, bytes.len())
            }
            other => return self.control(ruby, number, other, tally),
        };
        let Some(triggers) = self.count(number, len, tally) else {
            return Ok(());
        };
        let object: Option<RObject> = ruby.get_inner(self.objects).entry(number as isize)?;
        let Some(object) = object else { return Ok(()) };
        let result = if triggers {
            object.funcall::<_, _, Value>(event::trigger(kind), (string,)).map(drop)
        } else {
            block::call(ruby, object, event::ivar(kind), string)
        };
        rescue(ruby, object.as_value(), result)
    }

    /// Counts what is delivered; whether the application has triggers of its own, or `None` where
    /// the connection is gone.
    fn count(&self, number: u32, bytes: usize, tally: &mut Tally<'_>) -> Option<bool> {
        let slots = self.slots.borrow();
        let slot = slots.get(number)?;
        tally.count(number, &slot.handle, bytes);
        Some(slot.triggers)
    }

    fn accept(&self, ruby: &Ruby, owner: Value, incoming: Box<Incoming>) -> Result<(), Error> {
        let number = self.slots.borrow_mut().add(incoming.handle().clone());
        let objects = ruby.get_inner(self.objects);
        objects.store(number as isize, ruby.qnil())?;
        let connection = ruby.obj_wrap(Connection::new(incoming, number));
        let result = owner.funcall::<_, _, Value>(*ACCEPT, (connection,));
        if connection.take_incoming().is_some() {
            // Nobody started it: it is closed here and now.
            self.slots.borrow_mut().remove(number);
            objects.store(number as isize, ruby.qnil())?;
        }
        result.map(drop)
    }

    /// Everything but messages.
    fn control(
        &self,
        ruby: &Ruby,
        number: u32,
        delivery: Delivery,
        tally: &mut Tally<'_>,
    ) -> Result<(), Error> {
        let Some(handle) = self.slots.borrow().get(number).map(|slot| slot.handle.clone()) else {
            return Ok(());
        };
        let object: Value = ruby.get_inner(self.objects).entry(number as isize)?;
        match delivery {
            Delivery::Secured => {
                let result = object.funcall::<_, _, Value>(*SECURED, ());
                handle.secured();
                result.map(drop)
            }
            Delivery::Open(opened) => {
                let Opened { request, profile, subprotocol, answer } = *opened;
                let request = ruby.obj_wrap(Request::new(request, subprotocol));
                if let Some(answer) = answer {
                    let answer = ruby.obj_wrap(Answer::new(*answer, profile));
                    return object.funcall::<_, _, Value>(*REQUESTED, (request, answer)).map(drop);
                }
                handle.open(profile);
                let result = object.funcall::<_, _, Value>(*OPENED, (request,));
                handle.opened();
                result.map(drop)
            }
            Delivery::Refused(refused) => {
                let exception = error::handshake(ruby, &refused.error)?;
                let result = object.funcall::<_, _, Value>(*REFUSED, (exception,));
                handle.refuse(refused.response.as_deref());
                result.map(drop)
            }
            Delivery::Close(code, span) => {
                handle.peer_closed(code, self.batch.borrow().bytes(span));
                Ok(())
            }
            Delivery::Error(error) => {
                let exception = error::protocol(ruby, &error)?;
                let progress = handle.fail(&error);
                let result = object.funcall::<_, _, Value>(*FAILED, (exception,));
                handle.finish(progress);
                result.map(drop)
            }
            Delivery::Bytes(span) => {
                let data = bytes::binary(ruby, self.batch.borrow().bytes(span));
                tally.count(number, &handle, span.len());
                object.funcall::<_, _, Value>(*RECEIVE_DATA, (data,)).map(drop)
            }
            Delivery::Drained => object.funcall::<_, _, Value>(*DRAINED, ()).map(drop),
            Delivery::Closed => {
                let result = object.funcall::<_, _, Value>(*UNBIND, ());
                handle.closed();
                self.slots.borrow_mut().remove(number);
                ruby.get_inner(self.objects).store(number as isize, ruby.qnil())?;
                result.map(drop)
            }
            Delivery::Accepted(_) | Delivery::Message(..) => Ok(()),
        }
    }
}

/// The drains so far, and the longest of them.
#[derive(Clone, Copy, Default)]
pub(crate) struct Drains {
    pub(crate) count: u64,
    pub(crate) longest: Duration,
}

/// Measures one.
struct Timed<'a> {
    drains: &'a Cell<Drains>,
    begin: Instant,
}

impl<'a> Timed<'a> {
    #[allow(clippy::disallowed_methods, reason = "it is measured here, where it happens")]
    fn begin(drains: &'a Cell<Drains>) -> Self {
        Self { drains, begin: Instant::now() }
    }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        let Drains { count, longest } = self.drains.get();
        self.drains.set(Drains { count: count + 1, longest: longest.max(self.begin.elapsed()) });
    }
}

static TRIGGERS: LazyId = LazyId::new("triggers");
static STRICT: LazyId = LazyId::new("strict");
static ASKS: LazyId = LazyId::new("asks");
static SECURE: LazyId = LazyId::new("secure");
static RAW: LazyId = LazyId::new("raw");
static ANNOUNCE_TLS: LazyId = LazyId::new("announce_tls");
static ACCEPT: LazyId = LazyId::new("accept");
static SECURED: LazyId = LazyId::new("background_secured");
static REQUESTED: LazyId = LazyId::new("background_requested");
static OPENED: LazyId = LazyId::new("background_opened");
static REFUSED: LazyId = LazyId::new("background_failed");
static FAILED: LazyId = LazyId::new("background_failed");
static DRAINED: LazyId = LazyId::new("background_drained");
static RECEIVE_DATA: LazyId = LazyId::new("receive_data");
static UNBIND: LazyId = LazyId::new("background_unbind");
static APPLICATION_ERROR: LazyId = LazyId::new("application_error");

/// An exception of the application's goes to its object, which may raise it again; what is no
/// StandardError leaves as it is.
fn rescue(ruby: &Ruby, object: Value, result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(error) if error.is_kind_of(ruby.exception_standard_error()) => {
            let Some(exception) = error.value() else {
                return Err(error);
            };
            object.funcall::<_, _, Value>(*APPLICATION_ERROR, (exception,)).map(drop)
        }
        result => result,
    }
}

/// Whether a class is an object's own, and no singleton class stands before it.
fn is_instance(object: Value, class: RClass) -> bool {
    object.class().equal(class).unwrap_or(false)
}

pub(crate) fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    native.define_module_function("instance?", function!(is_instance, 2))?;
    let class = native.define_class("Server", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_singleton_method("bind", function!(Server::bind, 3))?;
    class.define_method("fd", method!(Server::fd, 0))?;
    class.define_method("local", method!(Server::local, 0))?;
    class.define_method("listening?", method!(Server::is_listening, 0))?;
    class.define_method("stop_listening", method!(Server::stop_listening, 0))?;
    class.define_method("stop", method!(Server::stop, 0))?;
    class.define_method("release", method!(Server::release, 0))?;
    class.define_method("abandon", method!(Server::abandon, 0))?;
    native.define_module_function("forked", function!(em_websocket::server::forked, 0))?;
    class.define_method("waiting?", method!(Server::is_waiting, 0))?;
    class.define_method("connections", method!(Server::connections, 0))?;
    class.define_method("stats", method!(Server::stats, 0))?;
    class.define_method("size", method!(Server::size, 0))?;
    class.define_method("adopt", method!(Server::adopt, 2))?;
    class.define_method("start", method!(Server::start, 4))?;
    class.define_method("drain", method!(Server::drain, 1))?;
    Ok(())
}
