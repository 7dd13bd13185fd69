//! Limits on what waits to be written, and the counts of it.

use std::{collections::HashMap, time::Duration};

use super::{Closing, Outbox};
use crate::server::{socket::WriteHalf, stats::Traffic};

/// Cold part of an outbox, allocated on first use: few connections have any.
#[derive(Debug)]
pub(super) struct ColdOutbox {
    /// Number of bytes that may wait.
    pub(super) limit: usize,
    /// Past so many waiting bytes the application wants to know when they are down to half of it;
    /// 0: it does not.
    pub(super) high_water: usize,
    /// A ping that is not answered yet.
    pub(super) pending_pong: Option<Vec<u8>>,
    /// Longest time in which nothing may be read nor written.
    inactivity: Option<Duration>,
    /// Number of times that something was sent since that was first limited.
    sends: u32,
}

impl Default for ColdOutbox {
    fn default() -> Self {
        Self { limit: usize::MAX, high_water: 0, pending_pong: None, inactivity: None, sends: 0 }
    }
}

impl Outbox {
    /// Number of bytes that wait to be written: what is held for them.
    pub(crate) fn waiting_len(&self) -> usize {
        let compressing = self.compression.as_ref().map_or(0, |queue| queue.held());
        let encrypted = match &self.write_half {
            WriteHalf::Open(writer) => writer.ahead(),
            _ => 0,
        };
        self.buffer.held() + compressing + encrypted
    }

    /// Adds what waits to be written. What others wait for, too, counts once: the ends of such bytes
    /// in memory, and how many there are, are put into `shared`.
    pub(crate) fn count_waiting(&self, shared: &mut HashMap<usize, usize>) -> usize {
        let mut own = self.waiting_len();
        let compressing = self.compression.iter().flat_map(|queue| queue.shared());
        for bytes in self.buffer.pieces().chain(compressing) {
            let (end, len) = (bytes.as_ptr_range().end as usize, bytes.len());
            let known = shared.entry(end).or_default();
            *known = len.max(*known);
            own = own.saturating_sub(len);
        }
        own
    }

    /// Aborts the connection where these bytes, with those that wait, are more than may wait.
    pub(super) fn is_over_limit(&mut self, len: usize) -> bool {
        let Some(limit) = self.cold.as_ref().map(|cold| cold.limit) else { return false };
        let is_over = self.waiting_len().saturating_add(len) > limit;
        if is_over {
            self.closing = Closing::Abort;
            self.limit_exceeded = true;
            self.needs_driver = true;
        }
        is_over
    }

    /// Sets how many bytes may wait.
    pub(crate) fn set_limit(&mut self, limit: Option<usize>) {
        if limit.is_some() || self.cold.is_some() {
            self.cold_mut().limit = limit.unwrap_or(usize::MAX);
        }
    }

    /// Sets past how many waiting bytes it is told that they are down to half of it; 0: never.
    pub(crate) fn set_high_water(&mut self, bytes: usize) {
        self.cold_mut().high_water = bytes;
        self.note_high();
    }

    fn high_water(&self) -> usize {
        self.cold.as_ref().map_or(0, |cold| cold.high_water)
    }

    /// More waits than before.
    pub(super) fn note_high(&mut self) {
        let high_water = self.high_water();
        self.is_high |= high_water > 0 && self.waiting_len() > high_water;
    }

    /// True if what was too much is down to half; it is said once.
    pub(crate) fn has_drained(&mut self) -> bool {
        let has_drained = self.is_high && self.waiting_len() <= self.high_water() / 2;
        self.is_high &= !has_drained;
        has_drained
    }

    /// Traffic that the application has sent.
    pub(crate) fn sent(&self) -> Traffic {
        self.sent
    }

    pub(super) fn count_sent(&mut self, len: usize) {
        if !self.is_gone() {
            self.sent += Traffic { messages: 1, bytes: len as u64 };
        }
    }

    /// Longest time in which nothing may be read nor written.
    pub(crate) fn inactivity(&self) -> Option<Duration> {
        self.cold.as_ref()?.inactivity
    }

    /// Sets the longest time in which nothing may be read nor written; it begins now.
    pub(crate) fn set_inactivity(&mut self, timeout: Option<Duration>) {
        self.cold_mut().inactivity = timeout;
        self.record_activity();
        self.needs_driver = true;
    }

    /// Number of times that something was sent since that time was first limited.
    pub(crate) fn sends(&self) -> u32 {
        self.cold.as_ref().map_or(0, |cold| cold.sends)
    }

    /// Something is sent.
    pub(super) fn record_activity(&mut self) {
        if let Some(cold @ ColdOutbox { inactivity: Some(_), .. }) = self.cold.as_deref_mut() {
            cold.sends = cold.sends.wrapping_add(1);
        }
    }

    pub(super) fn cold_mut(&mut self) -> &mut ColdOutbox {
        self.cold.get_or_insert_default()
    }
}
