//! `Native::Mailbox`: what is published to subscribers that are no connections of a server's.

use std::sync::Arc;

use em_websocket::server::{
    channels::{self, channels, MailboxKind, Taken},
    Broadcast,
};
use magnus::{
    function, method, prelude::*, Error, IntoValue, RArray, RModule, RString, Ruby, Value,
};

use crate::{
    channels::{begun, name, position, raised},
    raw,
};

/// `Native::Mailbox`.
#[magnus::wrap(class = "EventMachine::WebSocket::Native::Mailbox", free_immediately, size)]
pub(crate) struct Mailbox(pub(crate) Arc<channels::Mailbox>);

impl Mailbox {
    /// Of a connection, whose draft may have no binary messages.
    fn of_connection(is_text_only: bool) -> Self {
        Self(channels().open_mailbox(MailboxKind::Connection { is_text_only }))
    }

    /// Of the application itself.
    fn of_application() -> Self {
        Self(channels().open_mailbox(MailboxKind::Application))
    }

    fn number(&self) -> u64 {
        self.0.number()
    }

    /// As `Native::Connection`'s.
    fn subscribe(
        ruby: &Ruby,
        this: &Self,
        name: Value,
        since: Option<RString>,
        limit: usize,
    ) -> Result<Option<RArray>, Error> {
        let name = self::name(ruby, name)?;
        let since = since.map(position);
        let subscribed =
            raw::with_bytes(name, |name| channels().subscribe_mailbox(&this.0, name, since, limit));
        subscribed
            .map_err(|error| raised(ruby, error))?
            .map(|subscribed| begun(ruby, &subscribed))
            .transpose()
    }

    fn unsubscribe(ruby: &Ruby, this: &Self, name: Value) -> Result<bool, Error> {
        let name = self::name(ruby, name)?;
        raw::with_bytes(name, |name| channels().unsubscribe_mailbox(&this.0, name))
            .map_err(|error| raised(ruby, error))
    }

    fn unsubscribe_all(&self) -> usize {
        channels().unsubscribe_all_of(&self.0)
    }

    fn subscriptions(ruby: &Ruby, this: &Self) -> Result<RArray, Error> {
        crate::channels::names(ruby, this.0.subscriptions())
    }

    /// Ends its subscriptions, and loses what is in it.
    fn close(&self) {
        channels().close_mailbox(&self.0);
    }

    /// The message that has waited longest: UTF-8, or ASCII-8BIT where it is a binary one. False
    /// where `take_ruled` is to be asked; nil where there is none.
    fn take(ruby: &Ruby, this: &Self) -> Result<Option<Value>, Error> {
        match channels().take_mail(&this.0) {
            Some(Taken::Message(message)) => {
                let message = crate::channels::message(ruby, &message)?;
                Ok(Some(message.into_value_with(ruby)))
            }
            Some(Taken::Ruled) => Ok(Some(false.into_value_with(ruby))),
            None => Ok(None),
        }
    }

    /// As `take`, of a channel that has a rule for slow subscribers: nil where this is one.
    fn take_ruled(ruby: &Ruby, this: &Self, is_slow: bool) -> Result<Option<RString>, Error> {
        string(ruby, channels().take_ruled_mail(&this.0, is_slow))
    }

    /// A message that was held back; nil where there is none.
    fn take_held(ruby: &Ruby, this: &Self) -> Result<Option<RString>, Error> {
        string(ruby, channels().take_held_mail(&this.0))
    }

    fn is_behind(&self) -> bool {
        channels().is_behind(&self.0)
    }
}

fn string(ruby: &Ruby, message: Option<Arc<Broadcast>>) -> Result<Option<RString>, Error> {
    message.map(|message| crate::channels::message(ruby, &message)).transpose()
}

/// True if anything waits in any mailbox.
fn has_mail() -> bool {
    channels().has_mail()
}

/// Number of a mailbox that has mail, which is to be emptied.
fn take_mailbox() -> Option<u64> {
    channels().take_mailbox().map(|mailbox| mailbox.number())
}

pub(crate) fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Mailbox", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_singleton_method("of_connection", function!(Mailbox::of_connection, 1))?;
    class.define_singleton_method("of_application", function!(Mailbox::of_application, 0))?;
    class.define_method("number", method!(Mailbox::number, 0))?;
    class.define_method("subscribe", method!(Mailbox::subscribe, 3))?;
    class.define_method("unsubscribe", method!(Mailbox::unsubscribe, 1))?;
    class.define_method("unsubscribe_all", method!(Mailbox::unsubscribe_all, 0))?;
    class.define_method("subscriptions", method!(Mailbox::subscriptions, 0))?;
    class.define_method("close", method!(Mailbox::close, 0))?;
    class.define_method("take", method!(Mailbox::take, 0))?;
    class.define_method("take_ruled", method!(Mailbox::take_ruled, 1))?;
    class.define_method("take_held", method!(Mailbox::take_held, 0))?;
    class.define_method("behind?", method!(Mailbox::is_behind, 0))?;
    native.define_module_function("mail?", function!(has_mail, 0))?;
    native.define_module_function("take_mailbox", function!(take_mailbox, 0))
}
