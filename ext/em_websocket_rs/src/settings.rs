//! `Native::Settings`: what a server's options say of each of its connections, and of itself.

use std::{num::NonZeroUsize, time::Duration};

use em_websocket::{
    protocol::{
        handshake::{Limits, Refusal},
        version::{Versions, NUMBERS},
    },
    server::{ConnectionOptions, Keepalive, QueueLimits, ReadSize, ServerOptions},
};
use magnus::{
    function, prelude::*, typed_data::Obj, Error, Integer, RArray, RHash, RModule, Ruby, Value,
};

use crate::{
    answer::Subprotocols,
    error,
    options::{argument, get, truthy, Compression},
};

/// How long a peer may leave a ping without an answer, unless the application says so.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// What is meant by no limit of time, where there has to be one.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// `Native::Settings`.
#[magnus::wrap(class = "EventMachine::WebSocket::Native::Settings", free_immediately, size)]
pub(crate) struct Settings {
    pub(crate) connection: ConnectionOptions,
    pub(crate) server: ServerOptions,
    /// Records in one drain; then EventMachine's timers and other sockets have their turn.
    pub(crate) drain_batch: usize,
}

/// The default of it.
const DRAIN_BATCH: usize = 1024;

impl Settings {
    fn new(
        ruby: &Ruby,
        compression: Option<Obj<Compression>>,
        subprotocols: Option<Obj<Subprotocols>>,
        options: RHash,
    ) -> Result<Self, Error> {
        let connection = ConnectionOptions::default();
        let server = ServerOptions::default();
        let seconds = |key| seconds(ruby, options, key);
        let count = |key| count(ruby, options, key);
        let ping_timeout = seconds("ping_timeout")?.unwrap_or(Some(PING_TIMEOUT));
        let keepalive = seconds("ping_interval")?
            .flatten()
            .map(|interval| Keepalive { interval, timeout: ping_timeout.unwrap_or(FOREVER) });
        let header = Limits {
            header_bytes: count("max_header_size")?.unwrap_or(connection.handshake.header_bytes),
            headers: count("max_headers")?.unwrap_or(connection.handshake.headers),
        };
        let queue = QueueLimits {
            bytes: count("inbound_limit")?.unwrap_or(server.queue.bytes),
            messages: count("inbound_messages")?.unwrap_or(server.queue.messages),
            total: count("inbound_total")?.unwrap_or(server.queue.total),
        };
        // Where TLS is spoken, an answer in the clear would be noise.
        let turn_away_with = if truthy(ruby, options, "secure") {
            None
        } else {
            let refusal = Refusal::new(503).map_err(|error| error::usage(ruby, &error))?;
            Some(refusal.to_bytes(b"Too many connections").into())
        };
        Ok(Self {
            connection: ConnectionOptions {
                compression: compression.map(|compression| compression.0),
                subprotocols: subprotocols.map(|names| names.0.clone()).unwrap_or_default(),
                handshake: header,
                versions: versions(ruby, options)?,
                handshake_timeout: seconds("handshake_timeout")?
                    .map_or(connection.handshake_timeout, |timeout| timeout.unwrap_or(FOREVER)),
                write_timeout: seconds("write_timeout")?.unwrap_or(connection.write_timeout),
                idle_timeout: seconds("idle_timeout")?.flatten(),
                outbound_limit: get::<i64>(ruby, options, "outbound_limit")?
                    .and_then(|limit| usize::try_from(limit).ok())
                    .filter(|limit| *limit > 0),
                keepalive,
                ..connection
            },
            server: ServerOptions {
                queue,
                read_size: count("read_size")?
                    .map_or(Ok(server.read_size), |bytes| read_size(ruby, bytes))?,
                max_connections: count("max_connections")?,
                turn_away_with,
                threads: count("threads")?.and_then(NonZeroUsize::new).unwrap_or(server.threads),
                tcp_nodelay: options
                    .get(ruby.to_symbol("tcp_nodelay"))
                    .map_or(server.tcp_nodelay, Value::to_bool),
            },
            drain_batch: count("drain_batch")?.unwrap_or(DRAIN_BATCH),
        })
    }
}

/// Seconds; 0 is no limit.
fn seconds(ruby: &Ruby, options: RHash, key: &str) -> Result<Option<Option<Duration>>, Error> {
    let Some(seconds) = get::<f64>(ruby, options, key)? else { return Ok(None) };
    let duration = Duration::try_from_secs_f64(seconds)
        .map_err(|_| argument(ruby, format!("{key}: {seconds} is no number of seconds")))?;
    Ok(Some((!duration.is_zero()).then_some(duration.min(FOREVER))))
}

/// A number, 1 at least; 0 is as good as not given.
fn count(ruby: &Ruby, options: RHash, key: &str) -> Result<Option<usize>, Error> {
    let Some(number) = get::<i64>(ruby, options, key)? else { return Ok(None) };
    usize::try_from(number)
        .map(|number| (number > 0).then_some(number))
        .map_err(|_| argument(ruby, format!("{key}: {number} is negative")))
}

/// The versions that are spoken: some of those that are known, by their numbers.
fn versions(ruby: &Ruby, options: RHash) -> Result<Option<Versions>, Error> {
    let Some(option) = get::<Value>(ruby, options, "versions")? else { return Ok(None) };
    let number = |value: Value| Integer::from_value(value)?.to_i64().ok();
    let numbers = RArray::from_value(option)
        .and_then(|numbers| numbers.into_iter().map(number).collect::<Option<Vec<_>>>());
    let versions = numbers.and_then(|numbers| Versions::of(&numbers));
    versions.map(Some).ok_or_else(|| {
        let known = NUMBERS.map(|number| number.to_string()).join(", ");
        let text = format!("versions: {} is no Array with some of {known}", option.inspect());
        argument(ruby, text)
    })
}

fn read_size(ruby: &Ruby, bytes: usize) -> Result<ReadSize, Error> {
    let (least, most) = ReadSize::RANGE.into_inner();
    ReadSize::new(bytes)
        .ok_or_else(|| argument(ruby, format!("read_size: {bytes} is not {least} to {most}")))
}

pub(crate) fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Settings", ruby.class_object())?;
    class.define_singleton_method("new", function!(Settings::new, 3))
}
