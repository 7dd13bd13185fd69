//! Channels in common with other processes.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use em_websocket::server::{
    channels::channels,
    pubsub::{Events, LinkState, PubSub, PubSubStats, Told, Url},
};
use magnus::{function, Error, RArray, RHash, RModule, Ruby, Value};

use crate::{
    channels::{name, raised},
    raw,
};

/// The engine of this process, and what it has to tell. Only threads that hold the GVL look at them.
static STATE: Mutex<State> = Mutex::new(State { engine: None, events: None });

struct State {
    engine: Option<Arc<PubSub>>,
    /// Those of all engines: EventMachine watches their descriptor as long as the process lives.
    events: Option<Arc<Events>>,
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn engine() -> Option<Arc<PubSub>> {
    state().engine.clone()
}

fn events(ruby: &Ruby) -> Result<Arc<Events>, Error> {
    let mut state = state();
    if let Some(events) = &state.events {
        return Ok(Arc::clone(events));
    }
    let events = Arc::new(Events::new().map_err(|error| no_descriptor(ruby, &error))?);
    state.events = Some(Arc::clone(&events));
    Ok(events)
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
    let events = events(ruby)?;
    stop();
    state().engine = Some(PubSub::start(urls, limit, &events));
    Ok(events.fd())
}

fn no_descriptor(ruby: &Ruby, error: &io::Error) -> Error {
    Error::new(ruby.exception_runtime_error(), format!("pubsub: {error}"))
}

/// Ends it.
fn stop() {
    let engine = state().engine.take();
    if let Some(pubsub) = engine {
        pubsub.stop();
    }
}

/// Forgets, in a forked child, the parent's.
pub(crate) fn forked() {
    let parents = std::mem::replace(&mut *state(), State { engine: None, events: None });
    std::mem::forget(parents);
}

/// In a forked child: descriptors of the parent's that are to be closed.
fn inherited() -> Vec<i32> {
    PubSub::inherited_fds()
}

/// Takes what has happened: `[[[state, error], ...], [name of a channel with a gap, ...], [name of
/// one that is loaded, ...]]`; nil where there has been no engine.
fn take(ruby: &Ruby) -> Result<Option<RArray>, Error> {
    let Some(events) = state().events.clone() else { return Ok(None) };
    let Told { states, gaps, loaded } = events.take();
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

/// True where a channel need not be loaded, or not any more.
fn is_loaded(ruby: &Ruby, name: Value) -> Result<bool, Error> {
    let name = self::name(ruby, name)?;
    Ok(raw::with_bytes(name, |name| channels().is_loaded(name)))
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
    native.define_module_function("channel_loaded?", function!(is_loaded, 1))?;
    native.define_module_function("release_load", function!(release_load, 1))
}
