//! Numbers of a channel's messages: as they stand in its log, and as everybody knows them.

use super::position::{new_epoch, Position};

/// Number that a log begins with. What a process loads of a channel that others have, too, goes
/// before what it has.
pub(super) const ORIGIN: u64 = 1 << 40;

/// Numbers of a channel's messages. A log counts its own; the positions that applications and
/// clients know have an epoch, and an offset in that. Where several processes have the channel in
/// common, those are the same in all of them, and known once the process has
/// [loaded](super::Channels::load) them.
#[derive(Debug)]
pub(super) struct Numbering {
    pub(super) epoch: u64,
    /// Offset of the message that the log has at 0. It wraps around.
    base: u64,
    /// Place in the log before which positions are another epoch's.
    valid_from: u64,
    /// True where several processes have the channel in common.
    pub(super) is_shared: bool,
    /// False while messages of other processes may be missing at the end.
    pub(super) is_synced: bool,
    /// True once there has been an end that others know, too.
    pub(super) has_loaded: bool,
    /// True once the engine was told that somebody listens.
    pub(super) is_announced: bool,
    /// Number of those who wait for the channel to be loaded.
    pub(super) awaited: usize,
    /// Position of the newest message that came while it was not synced.
    pub(super) seen: Option<Position>,
}

impl Numbering {
    pub(super) fn new(is_shared: bool) -> Self {
        Self {
            epoch: new_epoch(),
            base: 0u64.wrapping_sub(ORIGIN),
            valid_from: 0,
            is_shared,
            is_synced: !is_shared,
            has_loaded: false,
            is_announced: false,
            awaited: 0,
            seen: None,
        }
    }

    pub(super) fn is_awaited(&self) -> bool {
        self.awaited > 0
    }

    /// Position of the message in a place of the log; `None` while it is not known.
    pub(super) fn position(&self, place: u64) -> Option<Position> {
        let position = Position { epoch: self.epoch, offset: place.wrapping_add(self.base) };
        self.is_synced.then_some(position)
    }

    /// Place in the log of a position, if it can have one.
    pub(super) fn place(&self, position: Position) -> Option<u64> {
        let place = position.offset.wrapping_sub(self.base);
        (self.is_synced && position.epoch == self.epoch && place >= self.valid_from)
            .then_some(place)
    }

    /// Offset that the message in a place of the log has, or would have.
    pub(super) fn offset(&self, place: u64) -> u64 {
        place.wrapping_add(self.base)
    }

    /// The log's messages up to this place are followed by those after a position.
    pub(super) fn rebase(&mut self, place: u64, position: Position, valid_from: u64) {
        self.epoch = position.epoch;
        self.base = position.offset.wrapping_sub(place);
        self.valid_from = valid_from;
    }

    /// Begins that the channel is shared, or ends it, behind a place of the log. There is another
    /// epoch: what the process numbers alone, others number differently.
    pub(super) fn share(&mut self, is_shared: bool, place: u64) {
        self.epoch = new_epoch();
        self.valid_from = place;
        self.has_loaded = false;
        self.is_shared = is_shared;
        self.is_synced = !is_shared;
        self.is_announced = false;
        self.seen = None;
    }
}
