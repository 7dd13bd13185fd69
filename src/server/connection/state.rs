//! State of one connection that needs its lock: what may be sent, and what is on its way out.

use std::{net::IpAddr, os::fd::RawFd};

use crate::{
    protocol::{CloseAction, Connection},
    server::{
        clients::Admission,
        config::ConnectionOptions,
        locks::{Guarded, LockRank},
        memberships::Memberships,
        outbound::Flush,
        outbox::Outbox,
        tls::TlsSession,
    },
};

/// State of one connection that needs its lock.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct State {
    pub(crate) outbox: Outbox,
    pub(crate) protocol: Connection,
    cold: Option<Box<ColdState>>,
    pub(super) frame_limit: usize,
    pub(super) message_limit: usize,
}

/// Cold state, allocated on first use: few connections have any.
#[derive(Debug, Default)]
pub(crate) struct ColdState {
    /// Parameters that TLS has agreed on.
    pub(crate) tls: Option<Box<TlsSession>>,
    /// State of the client, where it is behind a proxy, or counted, or past a limit.
    pub(crate) client: Option<Box<ClientState>>,
    /// Channels that it is subscribed to.
    pub(crate) channels: Memberships,
}

/// State of a client.
#[derive(Debug, Default)]
pub(crate) struct ClientState {
    /// Its address, where proxies say it, and whether a request's header does.
    pub(crate) said: Option<(IpAddr, bool)>,
    /// Its place among its client's connections, where those are limited.
    pub(crate) admission: Option<Admission>,
    /// Limit that has ended it, by its name.
    pub(crate) ended_by: Option<&'static str>,
}

impl Guarded for State {
    const RANK: LockRank = LockRank::State;
}

impl State {
    /// State of a connection that has just been accepted.
    pub(super) fn new(fd: RawFd) -> Self {
        let options = ConnectionOptions::default();
        Self {
            outbox: Outbox::new(fd),
            protocol: Connection::new(options.close_timeout),
            cold: None,
            frame_limit: options.limits.frame,
            message_limit: options.limits.message,
        }
    }

    /// Cold state, made where there is none.
    pub(crate) fn cold_mut(&mut self) -> &mut ColdState {
        self.cold.get_or_insert_default()
    }

    /// State of the client, made where there is none.
    pub(crate) fn client_mut(&mut self) -> &mut ClientState {
        self.cold_mut().client.get_or_insert_default()
    }

    /// Cold state, where it is there.
    pub(crate) fn cold(&self) -> Option<&ColdState> {
        self.cold.as_deref()
    }

    /// Lets the protocol add to what is sent, past all limits.
    pub(crate) fn append(
        &mut self,
        append: impl FnOnce(&mut Connection, &mut Vec<u8>) -> CloseAction,
    ) -> CloseAction {
        let Self { outbox, protocol, .. } = self;
        outbox.append(|out| append(protocol, out))
    }

    /// As [`append`](Self::append), and has the TCP connection ended as the protocol says then.
    pub(crate) fn close(
        &mut self,
        close: impl FnOnce(&mut Connection, &mut Vec<u8>) -> CloseAction,
    ) {
        let action = self.append(close);
        self.outbox.close(action);
    }

    /// For the driver: answers pings, in order; while the peer does not read, the last one only.
    pub(crate) fn answer_pings(&mut self, pings: Vec<Vec<u8>>) {
        for ping in pings {
            if self.outbox.delays_pong() {
                self.outbox.keep_ping(ping);
            } else if let Ok(Some(parts)) = self.protocol.answer(ping.len()) {
                self.outbox.send(&[parts.head(), &ping], Flush::Now);
            }
        }
    }

    /// For the driver: everything is written, so a pong that waited for it may go. Whether there
    /// was one.
    pub(crate) fn answer_kept_ping(&mut self) -> bool {
        let Some(ping) = self.outbox.take_kept_ping() else { return false };
        if let Ok(Some(parts)) = self.protocol.answer(ping.len()) {
            self.outbox.extend(&[parts.head(), &ping]);
        }
        true
    }
}
