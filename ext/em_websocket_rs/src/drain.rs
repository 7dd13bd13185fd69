//! The draining of a server's queue, on the reactor's thread.

use std::sync::Arc;

use em_websocket::{
    protocol::handshake::HttpRequest,
    server::{Delivery, Incoming, MessageKind, NonWebSocket, Opened, Owner, Record, Span},
};
use magnus::{prelude::*, typed_data::Obj, value::LazyId, ArgList, Error, RObject, Ruby, Value};

use crate::{
    connection::{Connection, TRANSPORT},
    convert::{error, symbols},
    flush::FlushGuard,
    overrides, raw,
    request::Request,
    response::Response,
    server::Server,
    stats::DrainTimer,
};

impl Server {
    /// Tells what has happened, on this thread: a batch, in order. `server.accept(connection)` makes
    /// the object of a new connection. An exception leaves; the rest stays queued.
    ///
    /// A block may fork: in the child nothing is left to tell, and nothing here is its own.
    pub(crate) fn drain(ruby: &Ruby, this: Obj<Self>, server: Value) -> Result<(), Error> {
        let timer = DrainTimer::begin(&this.drains);
        let Some(pending) = this.with(|core| Arc::clone(core.queue().pending_flushes())) else {
            return Ok(());
        };
        let flush = FlushGuard::begin(pending);
        if this.batch.borrow().is_empty() {
            this.with(|core| core.queue().take(&mut this.batch.borrow_mut()));
        }
        if let Some(since) = this.batch.borrow().since() {
            timer.has_waited(since);
        }
        let mut result = Ok(());
        for _ in 0..this.drain_batch {
            let message = this.batch.borrow_mut().pop_message();
            result = match message {
                Some((number, kind, span)) => this.message(ruby, server, number, kind, span),
                None => match this.next() {
                    Some(record) => this.deliver(ruby, server, record),
                    None => return Ok(()),
                },
            };
            if result.is_err() {
                break;
            }
            if flush.is_late() {
                this.batch.borrow_mut().settle();
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

    #[inline]
    fn message(
        &self,
        ruby: &Ruby,
        server: Value,
        number: u64,
        kind: MessageKind,
        span: Span,
    ) -> Result<(), Error> {
        let Some(object) = self.connections.object(ruby, number)? else { return Ok(()) };
        let batch = self.batch.borrow();
        let result = if overrides::may_trigger(ruby, object) {
            let bytes = batch.bytes(span);
            let string = match kind {
                MessageKind::Text => raw::text(ruby, bytes, span.code_range())?,
                MessageKind::Binary | MessageKind::Ping | MessageKind::Pong => {
                    raw::binary(ruby, bytes)?
                }
            };
            drop(batch);
            object.funcall::<_, _, Value>(symbols::trigger(kind), (string,)).map(drop)
        } else {
            raw::call_block(ruby, object, symbols::ivar(kind), kind, batch, span)
        };
        result.or_else(|error| rescue(ruby, server, object, error))
    }

    fn accept(
        &self,
        ruby: &Ruby,
        server: Value,
        owner: Owner,
        incoming: Box<Incoming>,
    ) -> Result<(), Error> {
        let number = self.connections.insert(ruby, incoming.handle().clone())?;
        let connection = ruby.obj_wrap(Connection::new(owner, incoming, number));
        let result = server.funcall::<_, _, Value>(*ACCEPT, (connection,));
        if connection.take_pending().is_some() {
            // Nobody started it: it is closed here and now.
            self.connections.remove(ruby, number)?;
        }
        result.map(drop)
    }

    /// Tells a raw connection what was read.
    fn receive_data(&self, ruby: &Ruby, number: u64, span: Span) -> Result<(), Error> {
        let Some(object) = self.connections.object(ruby, number)? else { return Ok(()) };
        let data = raw::binary(ruby, self.batch.borrow().bytes(span))?;
        object.funcall::<_, _, Value>(*RECEIVE_DATA, (data,)).map(drop)
    }

    /// Tells everything but messages.
    fn deliver(&self, ruby: &Ruby, server: Value, record: Record) -> Result<(), Error> {
        let number = record.connection;
        match record.delivery {
            Delivery::Accepted(owner, incoming) => self.accept(ruby, server, owner, incoming),
            Delivery::Bytes(span) => self.receive_data(ruby, number, span),
            delivery => self.control(ruby, server, number, delivery),
        }
    }

    /// Everything but connections that are accepted, and what they receive.
    fn control(
        &self,
        ruby: &Ruby,
        server: Value,
        number: u64,
        delivery: Delivery,
    ) -> Result<(), Error> {
        let Some(object) = self.connections.object(ruby, number)? else { return Ok(()) };
        let transport = object.ivar_get::<_, Value>(*TRANSPORT)?;
        let native = native(transport)?;
        match delivery {
            Delivery::TlsEstablished => {
                let result = tell(transport, &SECURED, (object,));
                native.with_owner(Owner::secured);
                result
            }
            Delivery::Open(opened) => {
                self.open(ruby, server, (&native, transport, object), *opened)
            }
            Delivery::NonWebSocket(plain) => answer_non_websocket(ruby, server, object, plain),
            Delivery::Http(request) => {
                let HttpRequest { request, body } = *request;
                native.with_owner(Owner::asked);
                let request = ruby.obj_wrap(Request::new(request, None, None));
                let body = raw::binary(ruby, &body)?;
                tell(transport, &HTTP_REQUESTED, (object, request, body, server))
            }
            Delivery::Rejected(refused) => {
                let exception = error::handshake(ruby, &refused.error)?;
                let result = tell(transport, &FAILED, (object, exception));
                native.with_owner(|owner| owner.reject(refused.response.as_deref()));
                result
            }
            Delivery::Close(code, span) => {
                let batch = self.batch.borrow();
                native.with_owner(|owner| owner.peer_closed(code, batch.bytes(span)));
                Ok(())
            }
            Delivery::Error(error) => {
                let exception = error::protocol(ruby, &error)?;
                let _failing = native.with_owner(|owner| owner.fail(&error));
                tell(transport, &FAILED, (object, exception))
            }
            Delivery::Drained => tell(transport, &DRAINED, (object,)),
            Delivery::Closed => {
                let is_changed = overrides::may_trigger(ruby, object);
                let result = tell(transport, &UNBOUND, (object, is_changed));
                native.take_closed();
                self.connections.remove(ruby, number)?;
                result
            }
            Delivery::Accepted(..) | Delivery::Message(..) | Delivery::Bytes(_) => Ok(()),
        }
    }

    /// Asks a connection's transport about an opening handshake, or tells it of one that is answered.
    fn open(
        &self,
        ruby: &Ruby,
        server: Value,
        (native, transport, object): (&Connection, Value, RObject),
        opened: Opened,
    ) -> Result<(), Error> {
        let Opened { request, remote_ip, subprotocol, response, .. } = opened;
        let version = request.protocol_version();
        self.request.set(Some(Request::new(request, subprotocol, remote_ip)));
        let response = response.map(|response| ruby.obj_wrap(Response::new(*response)));
        let is_changed = overrides::may_trigger(ruby, object);
        if response.is_some() {
            native.with_owner(Owner::asked);
        }
        let asked = (object, version, response, is_changed, server);
        let result = transport.funcall::<_, _, Value>(*REQUESTED, asked);
        self.request.take();
        if !is_changed && overrides::may_trigger(ruby, object) {
            transport.funcall::<_, _, Value>(*CHANGED, (object,))?;
        }
        result.map(drop)
    }
}

/// Answers what is no opening handshake, by a method that an application may have overridden.
fn answer_non_websocket(
    ruby: &Ruby,
    server: Value,
    object: RObject,
    plain: NonWebSocket,
) -> Result<(), Error> {
    let method = match plain {
        NonWebSocket::Healthcheck => HEALTHCHECK,
        NonWebSocket::FlashPolicy => FLASH_POLICY,
    };
    let result = object.funcall::<_, _, Value>(method, ()).map(drop);
    result.or_else(|error| rescue(ruby, server, object, error))
}

/// Object that knows the socket: the transport itself, unless the bytes pass through Ruby.
fn native(transport: Value) -> Result<Obj<Connection>, Error> {
    Obj::try_convert(transport).or_else(|_| transport.funcall(*NATIVE, ()))
}

/// Calls a method of a connection's transport.
fn tell(transport: Value, method: &LazyId, arguments: impl ArgList) -> Result<(), Error> {
    transport.funcall::<_, _, Value>(**method, arguments).map(drop)
}

static ACCEPT: LazyId = LazyId::new("accept");
static CHANGED: LazyId = LazyId::new("changed");
static NATIVE: LazyId = LazyId::new("native");
static SECURED: LazyId = LazyId::new("secured");
static REQUESTED: LazyId = LazyId::new("requested");
static FAILED: LazyId = LazyId::new("failed");
static HTTP_REQUESTED: LazyId = LazyId::new("http_requested");
static DRAINED: LazyId = LazyId::new("drained");
static RECEIVE_DATA: LazyId = LazyId::new("receive_data");
static UNBOUND: LazyId = LazyId::new("unbound");
const HEALTHCHECK: &str = "send_healthcheck_response";
const FLASH_POLICY: &str = "send_flash_cross_domain_file";
static APPLICATION_ERROR: LazyId = LazyId::new("application_error");

/// An exception of the application's goes to it, which may raise it again; what is no StandardError
/// leaves as it is.
#[cold]
fn rescue(ruby: &Ruby, server: Value, object: RObject, error: Error) -> Result<(), Error> {
    let Some(exception) = error.value() else { return Err(error) };
    if !error.is_kind_of(ruby.exception_standard_error()) {
        return Err(error);
    }
    server.funcall::<_, _, Value>(*APPLICATION_ERROR, (object, exception)).map(drop)
}
