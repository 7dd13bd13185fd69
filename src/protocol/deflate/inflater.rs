//! The receiving half: a message is inflated as its bytes come.

use std::fmt;

use zlib_rs::{Inflate, InflateError, InflateFlush, Status};

use super::{Params, MAX_WINDOW_BITS, TAIL};
use crate::{error::ProtocolError, protocol::message::Message};

/// The most that one step makes.
const MAX_STEP: usize = 32 * 1024;

/// Inflates the messages of one peer.
pub(crate) struct Inflater {
    takes_over: bool,
    /// Made at the first compressed message; at each, where it is not taken over.
    context: Option<Inflate>,
    /// True if the context stands before a block of which nothing has come.
    is_between_blocks: bool,
}

/// Bytes that one step took of its input, and made.
struct Step {
    taken: usize,
    made: usize,
    result: Result<Status, InflateError>,
}

impl Inflater {
    pub(crate) fn new(agreed: &Params) -> Self {
        let takes_over = !agreed.client_no_context_takeover;
        Self { takes_over, context: None, is_between_blocks: true }
    }

    /// Takes the next bytes of a payload, unmasked, and appends what they make to the message.
    ///
    /// It is judged on the way: text is refused at its first bad byte, and a message at the first
    /// byte past `limit`, whatever was to come behind it.
    ///
    /// Once they have made `budget` bytes, no more are taken: how many were. What has been taken is
    /// inflated to its end, which may be some [`MAX_STEP`] bytes more.
    pub(crate) fn inflate(
        &mut self,
        mut input: &[u8],
        message: &mut Message,
        limit: usize,
        budget: &mut usize,
    ) -> Result<usize, ProtocolError> {
        let all = input.len();
        if all == 0 {
            return Ok(0);
        }
        // A step begins by clearing its room, so it gets what its input is likely to fill.
        let mut room = input.len().saturating_mul(4).clamp(256, MAX_STEP);
        loop {
            if *budget == 0 && !input.is_empty() {
                return Ok(all - input.len());
            }
            let before = message.bytes.len();
            // One byte more than fits shows that there are too many; a second would be judged
            // before it is known to be.
            room = room.min(limit.saturating_sub(before).saturating_add(1));
            message.make_room(room, limit);
            message.bytes.resize(before + room, 0);
            let step = self.step(input, &mut message.bytes[before..], InflateFlush::NoFlush);
            input = &input[step.taken..];
            message.bytes.truncate(before + step.made);
            *budget = budget.saturating_sub(step.made);

            message.validate_utf8(None)?;
            if message.bytes.len() > limit {
                return Err(ProtocolError::MessageTooLong(limit.saturating_add(1)));
            }
            match step.result {
                Ok(Status::StreamEnd) => {
                    self.restart();
                    if input.is_empty() {
                        return Ok(all);
                    }
                }
                // There was room left: nothing that the input makes is held back.
                Ok(_) if step.made < room && input.is_empty() => return Ok(all),
                Ok(_) if step.made > 0 || step.taken > 0 => room = (room * 2).min(MAX_STEP),
                _ => return Err(ProtocolError::InvalidDeflate),
            }
        }
    }

    /// The payload is over.
    pub(crate) fn finish(&mut self, message: &mut Message) -> Result<(), ProtocolError> {
        // Some peers send an empty message as nothing at all, and some forget the empty block
        // behind a last one (RFC 7692 section 7.2.3.4): then there is no block for the tail to end.
        if !self.is_between_blocks {
            self.end_block()?;
        }
        if !self.takes_over {
            self.context = None;
        }
        message.give_back_room();
        Ok(())
    }

    /// Appends the tail that the peer left off (RFC 7692 section 7.2.2). It must be the end of an
    /// empty block, or else the message was cut short, and the tail would be taken for its content.
    fn end_block(&mut self) -> Result<(), ProtocolError> {
        // A step that is told to stop at the end of a block leaves the fifth byte alone.
        let [a, b, c, d] = TAIL;
        let input = [a, b, c, d, 0x00];
        let mut taken = 0;
        while taken < TAIL.len() {
            let step = self.step(&input[taken..], &mut [0], InflateFlush::Block);
            taken += step.taken;
            match step.result {
                Ok(Status::Ok) if step.taken > 0 && step.made == 0 => {}
                _ => return Err(ProtocolError::InvalidDeflate),
            }
        }
        if taken > TAIL.len() {
            return Err(ProtocolError::InvalidDeflate);
        }
        self.is_between_blocks = true;
        Ok(())
    }

    /// A block said that it was the last: what follows, if anything, owes it nothing.
    fn restart(&mut self) {
        if let Some(context) = &mut self.context {
            context.reset(false);
        }
        self.is_between_blocks = true;
    }

    fn step(&mut self, input: &[u8], output: &mut [u8], flush: InflateFlush) -> Step {
        if !input.is_empty() {
            self.is_between_blocks = false;
        }
        // The library sets the whole window aside whatever it is told, and a peer that agreed to
        // less does no harm with more.
        let context = self.context.get_or_insert_with(|| Inflate::new(false, MAX_WINDOW_BITS));
        let (before_in, before_out) = (context.total_in(), context.total_out());
        let result = context.decompress(input, output, flush);
        Step {
            taken: (context.total_in() - before_in) as usize,
            made: (context.total_out() - before_out) as usize,
            result,
        }
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Inflater")
            .field("takes_over", &self.takes_over)
            .field("has_context", &self.context.is_some())
            .field("is_between_blocks", &self.is_between_blocks)
            .finish()
    }
}
