//! `Native::Mailbox`: what is published to subscribers that are no connections of a server's.

use std::sync::Arc;

use em_websocket::server::channels::{self, channels, MailboxKind};
use magnus::{function, method, prelude::*, Error, RArray, RModule, RString, Ruby, Value};

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

    /// The message that has waited longest: UTF-8, or ASCII-8BIT where it is a binary one.
    fn take(ruby: &Ruby, this: &Self) -> Result<Option<RString>, Error> {
        let message = channels().take_mail(&this.0);
        message.map(|message| crate::channels::message(ruby, &message)).transpose()
    }
}

/// Whether anything waits in any mailbox.
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
    native.define_module_function("mail?", function!(has_mail, 0))?;
    native.define_module_function("take_mailbox", function!(take_mailbox, 0))
}
