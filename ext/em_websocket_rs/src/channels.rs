//! `Native::Channels`: what connections subscribe to.

use std::time::Duration;

use em_websocket::server::{
    channels::{
        self, channels, ChannelError, ChannelStats, Envelope, Except, Fate, History, Position,
        Slow, Subscribed,
    },
    Broadcast,
};
use magnus::{
    function, method, prelude::*, typed_data::Obj, Error, RArray, RHash, RModule, RString, Ruby,
    Value,
};

use crate::{
    connection::Connection,
    convert::{error, string},
    flush::{flush, flush_later},
    mailbox::Mailbox,
    raw,
};

/// `EventMachine::WebSocket::Publication`.
#[magnus::wrap(class = "EventMachine::WebSocket::Publication", free_immediately, size)]
pub(crate) struct Publication(em_websocket::server::channels::Publication);

impl Publication {
    fn receivers(&self) -> usize {
        self.0.receivers
    }

    fn position(&self) -> Option<String> {
        let position = self.0.position.or_else(|| match self.0.receipt.as_ref()?.fate() {
            Fate::Done(position) => position,
            Fate::Pending | Fate::Lost => None,
        });
        position.map(|position| position.to_string())
    }

    /// True if it goes to no other process; nil while that is not known.
    fn is_lost(&self) -> Option<bool> {
        match self.0.receipt.as_ref().map(|receipt| receipt.fate()) {
            None | Some(Fate::Done(_)) => Some(false),
            Some(Fate::Lost) => Some(true),
            Some(Fate::Pending) => None,
        }
    }
}

/// Publishes a message to all but one, whose `Native::Connection` or `Native::Mailbox` is given.
fn publish(
    ruby: &Ruby,
    name: Value,
    data: Value,
    is_binary: bool,
    except: Value,
) -> Result<Publication, Error> {
    let name = self::name(ruby, name)?;
    let message = if is_binary {
        raw::with_bytes(string::binary(data)?, Broadcast::binary)
    } else {
        raw::with_bytes(string::text(ruby, data)?, Broadcast::text)
    };
    let connection = Obj::<Connection>::try_convert(except).ok();
    let mailbox = Obj::<Mailbox>::try_convert(except).ok();
    let except = match (&connection, &mailbox) {
        (Some(connection), _) => Except::Connection(connection.handle()),
        (None, Some(mailbox)) => Except::Mailbox(&mailbox.0),
        (None, None) => Except::Nobody,
    };
    let published =
        raw::with_bytes(name, |name| channels().publish(name, message, except, flush()));
    published.map(Publication).map_err(|error| raised(ruby, error))
}

/// Subscribes a connection: `[position, recovered]`, or nil where it is gone.
pub(crate) fn subscribe(
    ruby: &Ruby,
    this: &Connection,
    name: Value,
    since: Option<RString>,
    limit: usize,
) -> Result<Option<RArray>, Error> {
    let name = self::name(ruby, name)?;
    let since = since.map(position);
    let subscribed = raw::with_bytes(name, |name| {
        channels().subscribe(this.handle(), name, since, limit, flush())
    });
    let Some(subscribed) = subscribed.map_err(|error| raised(ruby, error))? else {
        return Ok(None);
    };
    if subscribed.is_unflushed {
        flush_later(this.handle());
    }
    begun(ruby, &subscribed).map(Some)
}

/// `[position, recovered]`.
pub(crate) fn begun(ruby: &Ruby, subscribed: &Subscribed) -> Result<RArray, Error> {
    let result = ruby.ary_new_capa(2);
    result.push(subscribed.position.map(|position| position.to_string()))?;
    result.push(subscribed.recovered)?;
    Ok(result)
}

/// Ends a subscription of a connection: whether there was one.
pub(crate) fn unsubscribe(ruby: &Ruby, this: &Connection, name: Value) -> Result<bool, Error> {
    let name = self::name(ruby, name)?;
    raw::with_bytes(name, |name| channels().unsubscribe(this.handle(), name))
        .map_err(|error| raised(ruby, error))
}

/// Ends all subscriptions of a connection: how many there were.
pub(crate) fn unsubscribe_all(this: &Connection) -> usize {
    channels().unsubscribe_all(this.handle())
}

/// Names of the channels that a connection is subscribed to.
pub(crate) fn subscriptions(ruby: &Ruby, this: &Connection) -> Result<RArray, Error> {
    names(ruby, this.handle().subscriptions())
}

pub(crate) fn names(ruby: &Ruby, names: Vec<Vec<u8>>) -> Result<RArray, Error> {
    let result = ruby.ary_new_capa(names.len());
    for name in names {
        result.push(raw::text(ruby, &name, None)?)?;
    }
    Ok(result)
}

/// Number of subscribers of a channel.
fn subscribers(ruby: &Ruby, name: Value) -> Result<usize, Error> {
    let name = self::name(ruby, name)?;
    raw::with_bytes(name, |name| channels().subscribers(name)).map_err(|error| raised(ruby, error))
}

/// Numbers of subscribers, by the names of those channels that match a pattern and have some.
fn occupied(ruby: &Ruby, pattern: RString) -> Result<RHash, Error> {
    let hash = ruby.hash_new();
    for (name, subscribers) in raw::with_bytes(pattern, |pattern| channels().occupied(pattern)) {
        hash.aset(raw::text(ruby, &name, None)?, subscribers)?;
    }
    Ok(hash)
}

/// True if a pattern matches the name of a channel.
fn matches(pattern: RString, name: RString) -> bool {
    raw::with_bytes(pattern, |pattern| {
        raw::with_bytes(name, |name| channels::matches(pattern, name))
    })
}

/// A message: UTF-8, or ASCII-8BIT where it is a binary one.
pub(crate) fn message(ruby: &Ruby, message: &Broadcast) -> Result<RString, Error> {
    if message.is_binary() {
        raw::binary(ruby, message.payload())
    } else {
        raw::text(ruby, message.payload(), None)
    }
}

/// Messages that are kept: `[[position, message], ...]`, or nil where some are lost.
fn history(
    ruby: &Ruby,
    name: Value,
    since: Option<RString>,
    limit: usize,
) -> Result<Option<RArray>, Error> {
    let name = self::name(ruby, name)?;
    let since = since.map(position);
    let kept = raw::with_bytes(name, |name| channels().history(name, since, limit));
    let Some(kept) = kept.map_err(|error| raised(ruby, error))? else { return Ok(None) };
    let result = ruby.ary_new_capa(kept.len());
    for (position, message) in kept {
        result.push((position.to_string(), self::message(ruby, &message)?))?;
    }
    Ok(Some(result))
}

/// Keeps so many messages of matching channels for so many seconds (0: without a limit), each sent
/// in an envelope where a template of one is given.
fn keep_history(
    ruby: &Ruby,
    pattern: RString,
    size: usize,
    seconds: f64,
    template: Option<RString>,
) -> Result<(), Error> {
    let ttl = Duration::try_from_secs_f64(seconds).ok().filter(|ttl| !ttl.is_zero());
    let envelope = template.map(|template| envelope(ruby, template)).transpose()?;
    let history = History { size, ttl: ttl.unwrap_or(Duration::MAX), envelope };
    raw::with_bytes(pattern, |pattern| channels().keep_history(pattern, history));
    Ok(())
}

fn envelope(ruby: &Ruby, template: RString) -> Result<Envelope, Error> {
    let envelope = raw::with_bytes(template, |bytes| match std::str::from_utf8(bytes) {
        Ok(template) => Envelope::new(template).map_err(|error| error.to_string()),
        Err(_) => Err("it is not UTF-8".to_owned()),
    });
    envelope.map_err(|why| Error::new(ruby.exception_arg_error(), format!("envelope: {why}")))
}

/// Keeps so many messages of matching channels for slow subscribers; 0: closes those.
fn treat_slow(pattern: RString, keep: usize) {
    let slow = if keep == 0 { Slow::Close } else { Slow::Drop { keep } };
    raw::with_bytes(pattern, |pattern| channels().treat_slow(pattern, slow));
}

/// Limits what all channels have together; nil: as it is.
fn limit(subscriptions: Option<usize>, history_bytes: Option<usize>) {
    if let Some(number) = subscriptions {
        channels().limit_subscriptions(number);
    }
    if let Some(bytes) = history_bytes {
        channels().limit_history_bytes(bytes);
    }
}

/// Counters of all channels, as a Hash.
fn stats(ruby: &Ruby) -> Result<RHash, Error> {
    let ChannelStats { channels, subscriptions, published, delivered, dropped, bytes } =
        channels().stats();
    let hash = ruby.hash_new();
    for (name, number) in [
        ("channels", channels as u64),
        ("subscriptions", subscriptions as u64),
        ("messages_published", published),
        ("messages_delivered", delivered),
        ("messages_dropped", dropped),
        ("bytes_in_channels", bytes as u64),
    ] {
        hash.aset(ruby.to_symbol(name), number)?;
    }
    Ok(hash)
}

/// Class of the names of the library's own channels, which begin with a NUL character: clients may
/// name channels in applications, and must not get at these.
const OWN_NAME: &str = "EventMachine::WebSocket::OwnName";

/// A String that may be the name of a channel.
pub(crate) fn name(ruby: &Ruby, name: Value) -> Result<RString, Error> {
    let error = |text| Err(Error::new(ruby.exception_arg_error(), text));
    let Some(string) = RString::from_value(name) else {
        let class = name.class();
        return error(format!("the name of a channel must be a String, not an object of {class}"));
    };
    let is_own = raw::with_bytes(string, |bytes| bytes.first() == Some(&0));
    if is_own && name.class().to_string() != OWN_NAME {
        return error("the name of a channel must not begin with a NUL character".to_owned());
    }
    Ok(string)
}

/// Position that a client says it has come to.
pub(crate) fn position(text: RString) -> Position {
    let position = raw::with_bytes(text, |bytes| std::str::from_utf8(bytes).ok()?.parse().ok());
    position.unwrap_or(Position::UNKNOWN)
}

pub(crate) fn raised(ruby: &Ruby, error: ChannelError) -> Error {
    match error {
        ChannelError::EmptyName | ChannelError::LongName(_) | ChannelError::InvalidName => {
            Error::new(ruby.exception_arg_error(), error.to_string())
        }
        ChannelError::TooMany(_) | ChannelError::TooManyOfAll(_) => {
            error::subscription_limit(ruby, error.to_string())
        }
        ChannelError::BeforeOpen | ChannelError::Subscribed | ChannelError::BinaryInEnvelope => {
            error::web_socket(ruby, error.to_string())
        }
    }
}

pub(crate) fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let web_socket: RModule =
        ruby.class_object().const_get::<_, RModule>("EventMachine")?.const_get("WebSocket")?;
    let class = web_socket.define_class("Publication", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("receivers", method!(Publication::receivers, 0))?;
    class.define_method("position", method!(Publication::position, 0))?;
    class.define_method("lost?", method!(Publication::is_lost, 0))?;
    native.define_module_function("publish", function!(publish, 4))?;
    native.define_module_function("subscribers", function!(subscribers, 1))?;
    native.define_module_function("occupied", function!(occupied, 1))?;
    native.define_module_function("channel_matches?", function!(matches, 2))?;
    native.define_module_function("history", function!(history, 3))?;
    native.define_module_function("keep_history", function!(keep_history, 4))?;
    native.define_module_function("treat_slow", function!(treat_slow, 2))?;
    native.define_module_function("limit_channels", function!(limit, 2))?;
    native.define_module_function("channel_stats", function!(stats, 0))
}
