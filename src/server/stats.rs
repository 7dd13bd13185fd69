//! Counters of what a server has seen and done.

use std::{collections::BTreeMap, ops::AddAssign};

use super::{
    locks::{Guarded, LockRank},
    process::ProcessMutex,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};
use crate::error::HandshakeError;

/// Messages, and the bytes in them: of their payloads, as the application has them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Traffic {
    /// Messages: text, binary, pings and pongs of the peer or the application.
    pub messages: u64,
    /// Bytes.
    pub bytes: u64,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }
}

/// Counts of what a server has seen and done so far: [`Server::stats`](super::Server::stats).
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Connections that are there now, in whatever state.
    pub open: usize,
    /// Connections that were accepted so far.
    pub accepted: u64,
    /// Connections that were turned away because there were too many, or nobody is let in any more.
    pub rejected: u64,
    /// Connections that were turned away because their address had too many.
    pub rejected_by_address: u64,
    /// Connections that were turned away because their address began too many.
    pub rejected_by_rate: u64,
    /// Opening handshakes that failed, by [`HandshakeError::name`](crate::error::HandshakeError::name),
    /// `proxy`, `tls`, `tls_timed_out` and `application`, which is who refused.
    pub failed: BTreeMap<&'static str, u64>,
    /// Traffic that was received.
    pub received: Traffic,
    /// Traffic that was sent, or left to be sent.
    pub sent: Traffic,
    /// Messages that were received and have not been delivered yet: the memory that they pause,
    /// those that are not complete included.
    pub waiting: Traffic,
    /// Bytes that wait to be written: the memory that they pause, those of a broadcast once.
    pub outbound: u64,
    /// Connections that were aborted because more than their outbound limit waited for them.
    pub overrun: u64,
    /// Connections that were aborted because they took nothing for their write timeout.
    pub stalled: u64,
    /// Connections that were aborted because they left a ping without an answer.
    pub unanswered: u64,
    /// Connections that were closed because no message came or went.
    pub idle: u64,
    /// Connections that were closed because too many messages came.
    pub flooding: u64,
}

/// Counters of what happens. What passes on every connection is counted there, and comes in
/// here when it is gone.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) accepted: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) rejected_by_address: AtomicU64,
    pub(crate) rejected_by_rate: AtomicU64,
    pub(crate) flooding: AtomicU64,
    pub(crate) overrun: AtomicU64,
    pub(crate) stalled: AtomicU64,
    pub(crate) unanswered: AtomicU64,
    pub(crate) idle: AtomicU64,
    failed: ProcessMutex<Failed>,
    gone: ProcessMutex<Gone>,
}

type Failed = BTreeMap<&'static str, u64>;
type Gone = (Traffic, Traffic);

impl Guarded for Failed {
    const RANK: LockRank = LockRank::Counter;
}

impl Guarded for Gone {
    const RANK: LockRank = LockRank::Counter;
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl Counters {
    pub(crate) fn failed(&self, reason: &'static str) {
        if let Some(mut failed) = self.failed.lock() {
            *failed.entry(reason).or_default() += 1;
        }
    }

    /// A client is turned away, because of its address's limits.
    pub(crate) fn turned_away(&self, error: &HandshakeError) {
        count(match error {
            HandshakeError::TooManyConnections(_) => &self.rejected_by_address,
            HandshakeError::Restarting => &self.rejected,
            _ => &self.rejected_by_rate,
        });
    }

    /// A connection is gone, over which so much was received and sent.
    pub(crate) fn gone(&self, received: Traffic, sent: Traffic) {
        let Some(mut gone) = self.gone.lock() else { return };
        gone.0 += received;
        gone.1 += sent;
    }

    /// All but what is counted on connections that are there.
    pub(crate) fn stats(&self) -> Stats {
        let (received, sent) = self.gone.lock().map(|gone| *gone).unwrap_or_default();
        Stats {
            accepted: self.accepted.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            rejected_by_address: self.rejected_by_address.load(Relaxed),
            rejected_by_rate: self.rejected_by_rate.load(Relaxed),
            flooding: self.flooding.load(Relaxed),
            overrun: self.overrun.load(Relaxed),
            stalled: self.stalled.load(Relaxed),
            unanswered: self.unanswered.load(Relaxed),
            idle: self.idle.load(Relaxed),
            failed: self.failed.lock().map(|failed| failed.clone()).unwrap_or_default(),
            received,
            sent,
            ..Stats::default()
        }
    }
}
