//! `depth` clients at a time connect, upgrade and say goodbye with a closing handshake. The unit is
//! one of them.

use super::window::Window;
use crate::{
    arguments::Arguments,
    cycle::close,
    fleet::GLANCE,
    opening::{Answer, REQUEST},
    poll::Poll,
    report::Report,
    stream::{Dialect, Received, Stream},
    Failure,
};

/// The ports of loopback last for so many in a minute.
const MOST: u64 = 24_000;

struct Visit {
    stream: Stream,
    answer: Answer,
    /// Once the upgrade is answered: how many bytes of the server's close frame have come.
    closing: Option<usize>,
}

/// Its close frame, with a code and without a reason.
const CLOSE_LEN: usize = 4;

pub(crate) fn run(arguments: &Arguments) -> Result<Report, Failure> {
    let dialect = Dialect::new(arguments.tls)?;
    let goodbye = close();
    let mut poll = Poll::new()?;
    let mut scratch = vec![0; 64 * 1024];
    let mut window = Window::new(arguments, arguments.depth as u64);
    let begun = std::time::Instant::now();
    let mut units = 0;
    let mut visits = Vec::new();
    for token in 0..arguments.depth {
        visits.push(arrive(arguments, &dialect, &poll, token)?);
    }
    while !window.glance(units)? && units < MOST && begun.elapsed() < arguments.limit {
        for index in 0..poll.wait(GLANCE)? {
            let token = poll.ready(index).token;
            if visits[token].proceed(&mut scratch, &goodbye)? {
                visits[token] = arrive(arguments, &dialect, &poll, token)?;
                units += 1;
            }
        }
    }
    window.close(units)
}

fn arrive(
    arguments: &Arguments,
    dialect: &Dialect,
    poll: &Poll,
    token: usize,
) -> Result<Visit, Failure> {
    let mut stream = Stream::connect(arguments.address, dialect)?;
    stream.transmit(REQUEST)?;
    poll.add(&stream.socket, token)?;
    Ok(Visit { stream, answer: Answer::default(), closing: None })
}

impl Visit {
    /// True if it is over.
    fn proceed(&mut self, scratch: &mut [u8], goodbye: &[u8]) -> Result<bool, Failure> {
        let (answer, closing) = (&mut self.answer, &mut self.closing);
        let mut leave = false;
        let outcome = self.stream.receive(scratch, |bytes| {
            match closing {
                None => {
                    leave = answer.feed(bytes)?;
                }
                Some(len) => *len += bytes.len(),
            }
            Ok(())
        })?;
        if leave {
            self.closing = Some(0);
            self.stream.transmit(goodbye)?;
        }
        match self.closing {
            Some(CLOSE_LEN) => Ok(true),
            _ if outcome == Received::End => Err("the server left without a word".into()),
            _ => Ok(false),
        }
    }
}
