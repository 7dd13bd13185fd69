//! `Native::Settings`: what a server's options say of each of its connections, and of itself.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use em_websocket::{
    protocol::{
        handshake::{Rejection, RequestLimits},
        version::{Versions, NUMBERS},
        Networks, Rate,
    },
    server::{ClientLimits, ConnectionOptions, Keepalive, QueueLimits, ReadSize, ServerOptions},
};
use magnus::{function, prelude::*, typed_data::Obj, Error, RArray, RHash, RModule, Ruby};

use crate::{
    compression::Compression,
    convert::{
        error,
        options::{duration, flag, get, names, truthy, FOREVER},
    },
    subprotocols::Subprotocols,
};

/// Default of `:ping_timeout`.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// `Native::Settings`.
#[magnus::wrap(class = "EventMachine::WebSocket::Native::Settings", free_immediately, size)]
pub(crate) struct Settings {
    pub(crate) connection: ConnectionOptions,
    pub(crate) server: ServerOptions,
    /// Limit on the body of plain HTTP, in bytes.
    pub(crate) http_body: usize,
    /// Records in one drain; then EventMachine's timers and other sockets have their turn.
    pub(crate) drain_batch: usize,
}

/// The default of it.
const DRAIN_BATCH: usize = 1024;

/// The default of `http_body`.
const HTTP_BODY: usize = 1024 * 1024;

impl Settings {
    /// Makes them of options that Ruby has checked (`EventMachine::WebSocket::Options`).
    fn new(
        ruby: &Ruby,
        compression: Option<Obj<Compression>>,
        subprotocols: Option<Obj<Subprotocols>>,
        options: RHash,
    ) -> Result<Self, Error> {
        let connection = ConnectionOptions {
            compression: compression.map(|compression| compression.0),
            subprotocols: subprotocols.map(|names| names.0.clone()).unwrap_or_default(),
            ..connection_options(ruby, options)?
        };
        let mut server = server_options(ruby, options)?;
        server.clients.trusted_proxies = connection.trusted_proxies.clone();
        server.clients.proxy_protocol = connection.proxies.is_some();
        let drain_batch = count(ruby, options, "drain_batch")?.unwrap_or(DRAIN_BATCH);
        let http_body = count(ruby, options, "http_body")?.unwrap_or(HTTP_BODY);
        Ok(Self { connection, server, http_body, drain_batch })
    }
}

fn connection_options(ruby: &Ruby, options: RHash) -> Result<ConnectionOptions, Error> {
    let defaults = ConnectionOptions::default();
    let seconds = |key| seconds(ruby, options, key);
    let count = |key| count(ruby, options, key);
    let ping_timeout = seconds("ping_timeout")?.unwrap_or(Some(PING_TIMEOUT));
    let keepalive = seconds("ping_interval")?
        .flatten()
        .map(|interval| Keepalive { interval, timeout: ping_timeout.unwrap_or(FOREVER) });
    Ok(ConnectionOptions {
        handshake: RequestLimits {
            header_bytes: count("max_header_size")?.unwrap_or(defaults.handshake.header_bytes),
            headers: count("max_headers")?.unwrap_or(defaults.handshake.headers),
        },
        versions: versions(ruby, options)?,
        proxies: networks(ruby, options, "proxy_protocol")?,
        trusted_proxies: networks(ruby, options, "trusted_proxies")?,
        handshake_timeout: seconds("handshake_timeout")?
            .map_or(defaults.handshake_timeout, |timeout| timeout.unwrap_or(FOREVER)),
        write_timeout: seconds("write_timeout")?.unwrap_or(defaults.write_timeout),
        idle_timeout: seconds("idle_timeout")?.flatten(),
        outbound_limit: count("outbound_limit")?,
        message_rate: rate(ruby, options, "messages_per_second")?,
        keepalive,
        ..defaults
    })
}

fn server_options(ruby: &Ruby, options: RHash) -> Result<ServerOptions, Error> {
    let defaults = ServerOptions::default();
    let count = |key| count(ruby, options, key);
    // Where TLS is spoken, an answer in the clear would be noise.
    let rejection = if truthy(ruby, options, "secure") {
        None
    } else {
        let refusal = Rejection::new(503).map_err(|error| error::usage(ruby, &error))?;
        Some(refusal.to_bytes(b"Too many connections").into())
    };
    Ok(ServerOptions {
        queue: QueueLimits {
            bytes: count("inbound_limit")?.unwrap_or(defaults.queue.bytes),
            messages: count("inbound_messages")?.unwrap_or(defaults.queue.messages),
            total: count("inbound_total")?.unwrap_or(defaults.queue.total),
        },
        read_size: count("read_size")?.and_then(ReadSize::new).unwrap_or(defaults.read_size),
        max_connections: count("max_connections")?,
        clients: ClientLimits {
            connections: count("max_connections_per_ip")?,
            handshakes: rate(ruby, options, "handshakes_per_second")?,
            ..defaults.clients
        },
        rejection,
        threads: count("threads")?.and_then(NonZeroUsize::new).unwrap_or(defaults.threads),
        tcp_nodelay: flag(ruby, options, "tcp_nodelay", defaults.tcp_nodelay),
    })
}

/// Seconds; 0 is no limit.
fn seconds(ruby: &Ruby, options: RHash, key: &str) -> Result<Option<Option<Duration>>, Error> {
    let seconds = get::<f64>(ruby, options, key)?.map(duration);
    Ok(seconds.map(|duration| (!duration.is_zero()).then_some(duration)))
}

/// Number a second.
fn rate(ruby: &Ruby, options: RHash, key: &str) -> Result<Option<Rate>, Error> {
    Ok(get::<f64>(ruby, options, key)?.and_then(Rate::new))
}

/// A number, 1 at least; 0 is as good as not given.
fn count(ruby: &Ruby, options: RHash, key: &str) -> Result<Option<usize>, Error> {
    Ok(get::<usize>(ruby, options, key)?.filter(|number| *number > 0))
}

/// Networks, of which Ruby has found that they are some.
fn networks(ruby: &Ruby, options: RHash, key: &str) -> Result<Option<Arc<Networks>>, Error> {
    let Some(texts) = names(ruby, options, key)? else { return Ok(None) };
    match Networks::parse(texts.iter().map(String::as_str)) {
        Some(networks) => Ok(Some(Arc::new(networks))),
        None => {
            let text = format!("{key}: {texts:?} are not all networks");
            Err(Error::new(ruby.exception_arg_error(), text))
        }
    }
}

/// The versions that are spoken, by their numbers.
fn versions(ruby: &Ruby, options: RHash) -> Result<Option<Versions>, Error> {
    let numbers = get::<RArray>(ruby, options, "versions")?.map(RArray::to_vec).transpose()?;
    Ok(numbers.and_then(|numbers: Vec<i64>| Versions::of(&numbers)))
}

pub(crate) fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    native.const_set("VERSIONS", ruby.ary_from_vec(NUMBERS.to_vec()))?;
    let class = native.define_class("Settings", ruby.class_object())?;
    class.define_singleton_method("new", function!(Settings::new, 3))
}
