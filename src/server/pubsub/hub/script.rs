//! The two [scripts](crate::server::pubsub::scripts), known by their SHA-1 and done without Lua.

use std::{str, sync::LazyLock};

use bytes::BytesMut;
use sha1::{Digest, Sha1};

use super::{
    command::Call,
    resp::{bulk, head},
    store::{Publication, Target, Wanted},
};
use crate::server::pubsub::scripts;

const NO_NUMBER: &str = "ERR value is not an integer or out of range";
const WRONG_NUMBER: &str = "ERR wrong number of keys or arguments of the script";

/// A script that is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Script {
    Publish,
    Load,
}

impl Script {
    /// The script of a SHA-1.
    pub(super) fn of(digest: &[u8]) -> Option<Self> {
        static KNOWN: LazyLock<[(String, Script); 2]> = LazyLock::new(|| {
            [(scripts::PUBLISH, Script::Publish), (scripts::LOAD, Script::Load)]
                .map(|(text, script)| (sha1(text.as_bytes()), script))
        });
        let is_meant = |known: &&(String, Script)| digest.eq_ignore_ascii_case(known.0.as_bytes());
        KNOWN.iter().find(is_meant).map(|(_, script)| *script)
    }
}

/// SHA-1 of a script, in hexadecimal digits.
pub(super) fn sha1(text: &[u8]) -> String {
    Sha1::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `PUBLISH`: `{epoch, offset}`.
pub(super) fn publish(call: &mut Call<'_>) -> Result<(), &'static str> {
    let ([_, hash, node], arguments) = arguments(call.arguments)? else {
        return Err(WRONG_NUMBER);
    };
    let [generation, epoch, ttl, channel, line, payload, count, kept] = arguments else {
        return Err(WRONG_NUMBER);
    };
    let target = Target { hash, generation, epoch, ttl: number(ttl)? };
    let publication = Publication {
        node,
        number: number(count)?,
        channel,
        line,
        payload,
        kept: usize::try_from(number(kept)?).unwrap_or(usize::MAX),
    };
    let published = call.broker.store.publish(target, &publication, call.now);
    if let Some(message) = published.message {
        call.broker.publish(channel, &message.push);
    }
    let mut out = BytesMut::with_capacity(64);
    head(&mut out, '*', 2);
    bulk(&mut out, &published.epoch);
    bulk(&mut out, published.offset.to_string().as_bytes());
    call.reply(out);
    Ok(())
}

/// `LOAD`: `{epoch, end, now, messages}`.
pub(super) fn load(call: &mut Call<'_>) -> Result<(), &'static str> {
    let ([_, hash], arguments) = arguments(call.arguments)? else { return Err(WRONG_NUMBER) };
    let [generation, first, ttl, kept, epoch, after, count] = arguments else {
        return Err(WRONG_NUMBER);
    };
    let target = Target { hash, generation, epoch: first, ttl: number(ttl)? };
    let wanted = Wanted {
        kept: number(kept)?,
        epoch,
        // Without a position of the same epoch, it says nothing.
        after: number(after).unwrap_or(0),
        count: usize::try_from(number(count)?).unwrap_or(usize::MAX),
    };
    let loaded = call.broker.store.load(target, &wanted, call.now);
    let mut out = BytesMut::with_capacity(128);
    head(&mut out, '*', 4);
    bulk(&mut out, &loaded.epoch);
    bulk(&mut out, loaded.end.to_string().as_bytes());
    bulk(&mut out, call.now.wall.to_string().as_bytes());
    head(&mut out, '*', loaded.messages.len());
    let parts = std::iter::once(out.freeze()).chain(loaded.messages);
    call.broker.send(call.who, parts);
    Ok(())
}

/// A script's keys, and its other arguments.
type Arguments<'a> = (&'a [&'a [u8]], &'a [&'a [u8]]);

fn arguments<'a>(all: &'a [&'a [u8]]) -> Result<Arguments<'a>, &'static str> {
    let [_, keys, rest @ ..] = all else { return Err(WRONG_NUMBER) };
    let keys = usize::try_from(number(keys)?).unwrap_or(usize::MAX);
    rest.split_at_checked(keys).ok_or(WRONG_NUMBER)
}

/// A number, of which a negative one is none: 0.
fn number(text: &[u8]) -> Result<u64, &'static str> {
    let number = str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
    Ok(u64::try_from(number.ok_or(NO_NUMBER)?).unwrap_or(0))
}
