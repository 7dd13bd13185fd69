//! Channels in common with other processes.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use em_websocket::server::{
    channels::channels,
    pubsub::{LinkState, PubSub, PubSubStats, Told, Url},
};
use magnus::{function, Error, RArray, RHash, RModule, Ruby, Value};

use crate::{
    channels::{name, raised},
    raw,
};

/// The engine of this process. Only threads that hold the GVL look at it.
static ENGINE: Mutex<Option<Arc<PubSub>>> = Mutex::new(None);

fn engine() -> Option<Arc<PubSub>> {
    ENGINE.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn replace(engine: Option<Arc<PubSub>>) -> Option<Arc<PubSub>> {
    std::mem::replace(&mut *ENGINE.lock().unwrap_or_else(PoisonError::into_inner), engine)
}

/// Begins, with the addresses of brokers and the bytes that may wait for each: the file descriptor
/// that is readable while there is something to take.
fn start(ruby: &Ruby, urls: Vec<String>, limit: usize) -> Result<i32, Error> {
    let urls = urls.iter().zip(1..).map(|(url, number)| {
        Url::parse(url).map_err(|error| {
            let text = format!("pubsub: URL {number} {error}");
            Error::new(ruby.exception_arg_error(), text)
        })
    });
    let urls = urls.collect::<Result<Vec<_>, _>>()?;
    stop();
    let pubsub = PubSub::start(urls, limit).map_err(|error| no_descriptor(ruby, &error))?;
    let fd = pubsub.fd();
    replace(Some(pubsub));
    Ok(fd)
}

fn no_descriptor(ruby: &Ruby, error: &io::Error) -> Error {
    Error::new(ruby.exception_runtime_error(), format!("pubsub: {error}"))
}

/// Ends it.
fn stop() {
    if let Some(pubsub) = replace(None) {
        pubsub.stop();
    }
}

/// Forgets, in a forked child, the parent's.
pub(crate) fn forked() {
    std::mem::forget(replace(None));
}

/// In a forked child: descriptors of the parent's that are to be closed.
fn inherited() -> Vec<i32> {
    PubSub::inherited_fds()
}

/// Takes what has happened: `[[[state, error], ...], [name of a channel with a gap, ...], [name of
/// one that is loaded, ...]]`; nil where there is no engine.
fn take(ruby: &Ruby) -> Result<Option<RArray>, Error> {
    let Some(pubsub) = engine() else { return Ok(None) };
    let Told { states, gaps, loaded } = pubsub.take();
    let changes = ruby.ary_new_capa(states.len());
    for event in states {
        let state = match event.state {
            LinkState::Connected => "connected",
            LinkState::Disconnected => "disconnected",
            LinkState::Refused => "refused",
        };
        changes.push((ruby.to_symbol(state), event.error))?;
    }
    let taken = ruby.ary_new_capa(3);
    taken.push(changes)?;
    taken.push(names(ruby, &gaps)?)?;
    taken.push(names(ruby, &loaded)?)?;
    Ok(Some(taken))
}

fn names(ruby: &Ruby, names: &[Box<[u8]>]) -> Result<RArray, Error> {
    let result = ruby.ary_new_capa(names.len());
    for name in names {
        result.push(raw::text(ruby, name, None)?)?;
    }
    Ok(result)
}

/// Number of messages that the brokers do not have yet.
fn pending() -> usize {
    engine().map_or(0, |pubsub| pubsub.pending())
}

/// Bytes that may wait for each broker.
fn limit(bytes: usize) {
    if let Some(pubsub) = engine() {
        pubsub.limit(bytes);
    }
}

/// Counts, as a Hash; nil where there is no engine.
fn stats(ruby: &Ruby) -> Result<Option<RHash>, Error> {
    let Some(pubsub) = engine() else { return Ok(None) };
    let PubSubStats { links, connected, messages, bytes, lag_micros, reconnects, lost } =
        pubsub.stats();
    let hash = ruby.hash_new();
    for (name, number) in [
        ("pubsub_brokers", links as u64),
        ("pubsub_connected", connected as u64),
        ("pubsub_waiting", messages as u64),
        ("pubsub_bytes_waiting", bytes as u64),
        ("pubsub_reconnects", reconnects),
        ("pubsub_lost", lost),
    ] {
        hash.aset(ruby.to_symbol(name), number)?;
    }
    hash.aset(ruby.to_symbol("pubsub_lag"), lag_micros as f64 / 1e6)?;
    Ok(Some(hash))
}

/// Has a channel loaded, and kept until `release_load`: true where it is, and that is not to be
/// called.
fn await_load(ruby: &Ruby, name: Value) -> Result<bool, Error> {
    let name = self::name(ruby, name)?;
    raw::with_bytes(name, |name| channels().await_load(name)).map_err(|error| raised(ruby, error))
}

fn release_load(ruby: &Ruby, name: Value) -> Result<(), Error> {
    let name = self::name(ruby, name)?;
    raw::with_bytes(name, |name| channels().release(name));
    Ok(())
}

pub(crate) fn init(native: RModule) -> Result<(), Error> {
    native.define_module_function("pubsub_start", function!(start, 2))?;
    native.define_module_function("pubsub_stop", function!(stop, 0))?;
    native.define_module_function("pubsub_inherited", function!(inherited, 0))?;
    native.define_module_function("pubsub_take", function!(take, 0))?;
    native.define_module_function("pubsub_pending", function!(pending, 0))?;
    native.define_module_function("pubsub_limit", function!(limit, 1))?;
    native.define_module_function("pubsub_stats", function!(stats, 0))?;
    native.define_module_function("await_load", function!(await_load, 1))?;
    native.define_module_function("release_load", function!(release_load, 1))
}
