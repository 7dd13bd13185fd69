//! `Native.broadcast`: one message for many connections.

use std::sync::Arc;

use em_websocket::server::{Broadcast, Sent};
use magnus::{function, prelude::*, typed_data::Obj, Error, RArray, RModule, RObject, Ruby, Value};

use crate::{
    connection::{Connection, TRANSPORT},
    convert::string,
    raw,
};

/// Sends to those connections whose sockets are the background's, and answers how many of them are
/// open, and the others.
fn broadcast(
    ruby: &Ruby,
    connections: RArray,
    data: Value,
    is_binary: bool,
) -> Result<(usize, RArray), Error> {
    let message = Arc::new(if is_binary {
        raw::with_bytes(string::binary(data)?, Broadcast::binary)
    } else {
        raw::with_bytes(string::text(ruby, data)?, Broadcast::text)
    });
    let others = ruby.ary_new();
    let mut count = 0;
    for object in connections {
        let native = match RObject::from_value(object) {
            Some(object) => Obj::<Connection>::try_convert(object.ivar_get(*TRANSPORT)?).ok(),
            None => None,
        };
        match native {
            None => others.push(object)?,
            Some(native) => count += usize::from(native.send_shared(&message) != Sent::Nothing),
        }
    }
    Ok((count, others))
}

pub(crate) fn init(native: RModule) -> Result<(), Error> {
    native.define_module_function("broadcast", function!(broadcast, 3))
}
