//! Receipts of messages on their way to other processes.

use super::position::Position;
use crate::server::{
    locks::{lock, Guarded, LockRank},
    sync::Mutex,
};

/// Fate of a message that was published.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Fate {
    /// It waits, or is on its way.
    #[default]
    Pending,
    /// The broker has it. The position behind it, where history is kept.
    Done(Option<Position>),
    /// It goes to nobody else: there was no room to keep it, or the broker refused it.
    Lost,
}

/// Receipt of a message on its way to other processes: whoever published it can ask for its fate.
#[derive(Debug, Default)]
pub struct Receipt(Mutex<Fate>);

impl Receipt {
    /// Fate of the message, as far as it is known.
    pub fn fate(&self) -> Fate {
        *lock(&self.0)
    }

    /// Settles it.
    pub(crate) fn settle(&self, fate: Fate) {
        *lock(&self.0) = fate;
    }
}

impl Guarded for Fate {
    const RANK: LockRank = LockRank::Receipt;
}
