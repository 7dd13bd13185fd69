//! Events of an engine, for the application, which is woken through a file descriptor.

use std::{
    collections::{BTreeSet, VecDeque},
    io, mem,
    os::fd::{AsRawFd, RawFd},
};

use crate::server::{
    locks::{lock, Guarded, LockRank},
    sync::Mutex,
    wakeup::Wakeup,
};

/// State of a connection to a broker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LinkState {
    /// It is there, and channels are subscribed.
    Connected,
    /// It is not there; why, is said by the error.
    Disconnected,
    /// It is there, and something was refused.
    Refused,
}

/// Change of a connection to a broker.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LinkEvent {
    /// State that it is in.
    pub state: LinkState,
    /// Error that has led there.
    pub error: Option<String>,
}

/// Events since they were taken last.
#[derive(Debug, Default)]
pub struct Told {
    /// Changes of connections, in their order.
    pub states: Vec<LinkEvent>,
    /// Channels in which messages are missing.
    pub gaps: Vec<Box<[u8]>>,
    /// Channels that were waited for, and are loaded.
    pub loaded: Vec<Box<[u8]>>,
}

/// Events of the engine, for the application.
#[derive(Debug)]
pub struct Events {
    pending: Mutex<Pending>,
    wakeup: Wakeup,
}

#[derive(Debug, Default)]
struct Pending {
    states: VecDeque<LinkEvent>,
    gaps: BTreeSet<Box<[u8]>>,
    loaded: BTreeSet<Box<[u8]>>,
    is_awake: bool,
}

impl Guarded for Pending {
    const RANK: LockRank = LockRank::EngineEvents;
}

/// Number of changes that wait for an application that has no reactor yet: the newest.
const STATES: usize = 64;

impl Events {
    /// None have happened yet.
    ///
    /// # Errors
    /// The system's, where it has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { pending: Mutex::default(), wakeup: Wakeup::new()? })
    }

    /// File descriptor that is readable while there is something to [take](Self::take).
    pub fn fd(&self) -> RawFd {
        self.wakeup.as_raw_fd()
    }

    /// Wakes the application: something waits for it elsewhere.
    pub(super) fn wake(&self) {
        self.add(|_| {});
    }

    pub(super) fn state(&self, state: LinkState, error: Option<String>) {
        self.add(|pending| {
            let event = LinkEvent { state, error };
            if event.error.is_some() && pending.states.back() == Some(&event) {
                return;
            }
            if pending.states.len() == STATES {
                pending.states.pop_front();
            }
            pending.states.push_back(event);
        });
    }

    pub(super) fn gap(&self, name: &[u8]) {
        self.add(|pending| pending.gaps.extend([name.into()]));
    }

    pub(super) fn loaded(&self, name: &[u8]) {
        self.add(|pending| pending.loaded.extend([name.into()]));
    }

    fn add(&self, add: impl FnOnce(&mut Pending)) {
        let mut pending = lock(&self.pending);
        add(&mut pending);
        if !mem::replace(&mut pending.is_awake, true) {
            self.wakeup.set();
        }
    }

    /// Takes what has happened. Mailboxes may have mail, too.
    pub fn take(&self) -> Told {
        let mut pending = lock(&self.pending);
        self.wakeup.clear();
        let Pending { states, gaps, loaded, .. } = mem::take(&mut *pending);
        Told {
            states: states.into(),
            gaps: gaps.into_iter().collect(),
            loaded: loaded.into_iter().collect(),
        }
    }
}
