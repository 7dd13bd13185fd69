//! epoll, level-triggered: one readiness is answered with one read.

use std::{io, net::TcpStream, os::fd::OwnedFd, time::Duration};

use rustix::{
    buffer::spare_capacity,
    event::{
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
        Timespec,
    },
};

/// As many as there are connections in the largest broadcast, so that a round of it is one batch.
const EVENTS: usize = 1024;

pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

/// Socket that is ready, and for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) token: usize,
    pub(crate) writable: bool,
    pub(crate) readable: bool,
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, events: Vec::with_capacity(EVENTS) })
    }

    pub(crate) fn add(&self, socket: &TcpStream, token: usize) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(token as u64), EventFlags::IN)?)
    }

    /// Waits for room to write too, or no longer.
    pub(crate) fn watch_writing(
        &self,
        socket: &TcpStream,
        token: usize,
        writing: bool,
    ) -> io::Result<()> {
        let flags = if writing { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
        Ok(epoll::modify(&self.epoll, socket, EventData::new_u64(token as u64), flags)?)
    }

    /// Waits; afterwards [`ready`](Self::ready) says for what. Returns how many there are.
    pub(crate) fn wait(&mut self, timeout: Duration) -> io::Result<usize> {
        self.events.clear();
        let timeout =
            Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) => Ok(self.events.len()),
            Err(rustix::io::Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn ready(&self, index: usize) -> Ready {
        let Event { flags, data, .. } = self.events[index];
        Ready {
            token: data.u64() as usize,
            writable: flags.contains(EventFlags::OUT),
            readable: flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR),
        }
    }
}
