//! What a drain has delivered, told to the connections.

use em_websocket::server::Handle;

use crate::handle::Corked;

/// What has been delivered of one connection in a row, told to it at once: past so many messages or
/// bytes, or once the drain has taken long, so that a connection is read again when half of what waited is gone.
pub(crate) struct Tally<'a> {
    corked: &'a Corked,
    of: Option<(u64, Handle)>,
    bytes: usize,
    messages: usize,
}

/// Telling costs a few additions that other threads see: a hundredth of what so many messages do.
const TOLD_AT_ONCE: (usize, usize) = (64, 64 * 1024);

impl<'a> Tally<'a> {
    pub(crate) fn new(corked: &'a Corked) -> Self {
        Self { corked, of: None, bytes: 0, messages: 0 }
    }

    pub(crate) fn count(&mut self, number: u64, handle: &Handle, bytes: usize) {
        if self.of.as_ref().is_none_or(|(of, _)| *of != number) {
            self.tell();
            self.of = Some((number, handle.clone()));
        }
        self.bytes += bytes;
        self.messages += 1;
        let is_much = self.messages >= TOLD_AT_ONCE.0 || self.bytes >= TOLD_AT_ONCE.1;
        if is_much || self.corked.is_late() {
            self.tell();
        }
    }

    fn tell(&mut self) {
        if let Some((_, handle)) = self.of.take() {
            handle.delivered(self.bytes, self.messages);
            (self.bytes, self.messages) = (0, 0);
        }
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        self.tell();
    }
}
