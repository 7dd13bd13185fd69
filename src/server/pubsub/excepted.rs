//! Those whom a message of this process does not go to, until it comes back from the broker.

use std::collections::BTreeMap;

use crate::server::{
    channels::Excepted,
    locks::{Guarded, LockRank},
};

/// Number of messages that are waited for. A message of a channel that nobody here listens to does
/// not come back.
const MOST: usize = 4_096;

/// Those whom messages do not go to, by the messages' numbers.
#[derive(Debug, Default)]
pub(super) struct ExceptedByNumber(BTreeMap<u64, Excepted>);

impl Guarded for ExceptedByNumber {
    const RANK: LockRank = LockRank::Excepted;
}

impl ExceptedByNumber {
    pub(super) fn put(&mut self, number: u64, except: Excepted) {
        if self.0.len() == MOST {
            self.0.pop_first();
        }
        self.0.insert(number, except);
    }

    pub(super) fn take(&mut self, number: u64) -> Option<Excepted> {
        self.0.remove(&number)
    }
}
