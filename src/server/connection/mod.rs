//! State of one connection that its handles and its driver share: what needs no lock, and the lock of
//! what does.

mod state;

use std::{
    ops::{Deref, DerefMut},
    os::fd::RawFd,
    sync::Arc,
    task::Waker,
};

pub(crate) use self::state::State;
use super::{
    addresses::Addresses,
    inbound::{InboundBudget, Resume},
    locks::{lock, Guard},
    pause,
    reader::Session,
    runtime,
    socket::Writer,
    stats::Traffic,
    sync::{
        atomic::{
            AtomicBool, AtomicU16, AtomicU32, AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
        AtomicWaker, Mutex, MutexGuard,
    },
};
use crate::protocol::{Held, Limits, Meter};

/// State of one connection, without a lock.
// Here and in the state the fields stand in this order: what every send looks at comes first, and
// fills three lines of the cache. A broadcast goes through as many of these as there are
// connections.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Shared {
    waiting_messages: AtomicU32,
    /// True if anything in the state wants the driver, which does not lock it otherwise.
    pub(crate) driver_notified: AtomicBool,
    /// True if the peer must mask its frames. Of the limits on it, this one has room here; it is
    /// looked at under the state's lock, so no model tries it.
    requires_masking: std::sync::atomic::AtomicBool,
    /// The reasons for not reading, and how the opening stands, as bits of [`pause`]: set before
    /// anybody can take them away (`Ends::ask`), and taken away after orders have been given. So a
    /// driver looks at these first, at its orders next, and reads last. (`driver/models/reading.rs`
    /// tries it.)
    pub(crate) pauses: AtomicU16,
    state: Mutex<State>,
    /// Wakes the driver.
    waker: AtomicWaker,
    waiting_bytes: AtomicUsize,
    /// Traffic that was received; the driver alone counts it.
    received_bytes: AtomicU64,
    received_messages: AtomicU64,
    pub(crate) budget: Arc<InboundBudget>,
    pub(crate) addresses: Addresses,
}

impl Shared {
    /// Of a connection that has just been accepted.
    pub(crate) fn new(fd: RawFd, addresses: Addresses, budget: Arc<InboundBudget>) -> Self {
        Self {
            state: Mutex::new(State::new(fd)),
            waker: AtomicWaker::new(),
            driver_notified: AtomicBool::new(true),
            pauses: AtomicU16::new(0),
            requires_masking: false.into(),
            waiting_bytes: AtomicUsize::new(0),
            waiting_messages: AtomicU32::new(0),
            received_bytes: AtomicU64::new(0),
            received_messages: AtomicU64::new(0),
            budget,
            addresses,
        }
    }

    /// The state, for whoever holds a handle; `None` in a forked child, where it may be locked for
    /// ever. There is no other way to it, nor to the driver.
    pub(crate) fn lock(&self) -> Option<Locked<'_>> {
        (!self.is_inherited()).then(|| self.driver_lock())
    }

    /// For the driver, which no forked child has: the state.
    pub(crate) fn driver_lock(&self) -> Locked<'_> {
        Locked { state: lock(&self.state), shared: self }
    }

    /// In a forked child: the state, if no thread held it at the fork.
    pub(crate) fn inherited_lock(&self) -> Option<MutexGuard<'_, State>> {
        self.state.try_lock().ok()
    }

    /// True if the connection is the parent's, and this process a forked child.
    pub(crate) fn is_inherited(&self) -> bool {
        self.budget.fork_generation != runtime::fork_generation()
    }

    /// Something in the state wants the driver.
    pub(crate) fn notify_driver(&self) {
        self.driver_notified.store(true, SeqCst);
        self.wake();
    }

    fn wake(&self) {
        if !self.is_inherited() {
            self.waker.wake();
        }
    }

    /// For the driver: whom to wake.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Counts what has been queued for the application. Past the limits, the connection is not read
    /// any more.
    pub(super) fn queued(&self, bytes: usize, messages: usize) {
        let limits = &self.budget.limits;
        let bytes = self.waiting_bytes.fetch_add(bytes, SeqCst) + bytes;
        let messages = self.waiting_messages.fetch_add(messages as u32, SeqCst) as usize + messages;
        if bytes >= limits.bytes || messages >= limits.messages {
            self.pauses.fetch_or(pause::INBOUND_FULL, SeqCst);
            // It may all have been delivered between the count and the hold.
            self.resume_if_low();
        }
    }

    /// The application has been told so much. A connection that was not read because too much
    /// waited is read again once half is gone.
    pub(super) fn delivered(&self, bytes: usize, messages: usize) {
        self.waiting_bytes.fetch_sub(bytes, SeqCst);
        self.waiting_messages.fetch_sub(messages as u32, SeqCst);
        if self.pauses.load(SeqCst) & pause::INBOUND_FULL != 0 {
            self.resume_if_low();
        }
    }

    /// Goes on reading, if too much waits no longer.
    fn resume_if_low(&self) {
        if self.is_low() {
            self.resume_reading(pause::INBOUND_FULL);
        }
    }

    /// Number of bytes more that may wait for the application.
    pub(crate) fn room(&self) -> usize {
        let own = self.budget.limits.bytes.saturating_sub(self.waiting_bytes.load(SeqCst));
        own.min(self.budget.remaining())
    }

    fn is_low(&self) -> bool {
        let limits = &self.budget.limits;
        self.waiting_bytes.load(SeqCst) <= limits.bytes / 2
            && self.waiting_messages.load(SeqCst) as usize <= limits.messages / 2
    }

    /// Has the processor fetch the counts and the state's lock.
    pub(crate) fn fetch(&self) -> u64 {
        #[cfg(not(all(test, feature = "loom")))]
        let poisoned = self.state.is_poisoned();
        #[cfg(all(test, feature = "loom"))]
        let poisoned = false;
        self.received_messages.load(Relaxed) + u64::from(poisoned)
    }

    /// For the driver: so much has been received.
    pub(crate) fn count_received(&self, more: Traffic) {
        // Nobody else writes.
        let mut received = self.received();
        received += more;
        self.received_messages.store(received.messages, Relaxed);
        self.received_bytes.store(received.bytes, Relaxed);
    }

    /// Traffic that has been received.
    pub(crate) fn received(&self) -> Traffic {
        Traffic {
            messages: self.received_messages.load(Relaxed),
            bytes: self.received_bytes.load(Relaxed),
        }
    }

    /// True while something that was received has not been told to the application.
    pub(crate) fn is_queued(&self) -> bool {
        self.waiting_messages.load(SeqCst) > 0
    }

    /// Traffic that waits for the application.
    #[cfg(all(test, feature = "loom"))]
    pub(crate) fn waiting(&self) -> Traffic {
        Traffic {
            messages: self.waiting_messages.load(SeqCst).into(),
            bytes: self.waiting_bytes.load(SeqCst) as u64,
        }
    }

    pub(crate) fn resume_reading(&self, reason: u16) {
        if self.pauses.fetch_and(!reason, SeqCst) & reason != 0 {
            self.wake();
        }
    }
}

/// State of a connection that is locked. When it is let go, the driver is woken for what is left to
/// it.
pub(crate) struct Locked<'a> {
    state: Guard<'a, State>,
    shared: &'a Shared,
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl Locked<'_> {
    /// Limits on the peer.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            frame: self.frame_limit,
            message: self.message_limit,
            require_masked: self.shared.requires_masking.load(Relaxed),
        }
    }

    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.frame_limit = limits.frame;
        self.message_limit = limits.message;
        self.shared.requires_masking.store(limits.require_masked, Relaxed);
        // It sees to them when it next looks.
        self.shared.driver_notified.store(true, SeqCst);
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if self.state.outbox.take_needs_driver() {
            self.shared.notify_driver();
        }
    }
}

impl Resume for Shared {
    fn pause(&self) -> bool {
        self.pauses.fetch_or(pause::BUDGET_FULL, SeqCst) & pause::BUDGET_FULL == 0
    }

    fn resume(&self) {
        self.resume_reading(pause::BUDGET_FULL);
    }
}

/// The budget of its server: a message that is not complete may be larger than what may wait of one
/// connection.
impl Meter for Shared {
    fn add(&self, bytes: usize) {
        self.budget.reserve(bytes);
    }

    fn remove(&self, bytes: usize) {
        self.budget.release_unfinished(bytes);
    }
}

impl Session for Arc<Shared> {
    fn with_writer<R>(&self, act: impl FnOnce(&mut Writer) -> R) -> Option<R> {
        self.driver_lock().outbox.write_half().session().map(act)
    }
}

/// Memory of a connection's that is counted with its messages that are not complete.
pub(crate) fn held(connection: &Arc<Shared>, bytes: usize) -> Held {
    let mut held = Held::new(Some(Arc::clone(connection) as Arc<dyn Meter>));
    held.set(bytes);
    held
}

#[cfg(all(test, target_os = "linux", target_pointer_width = "64", not(feature = "loom")))]
#[test]
fn the_state_of_an_idle_connection_is_small() {
    // With what an Arc and the allocator add, and what tokio keeps for the socket, this is four
    // times the 128 bytes that tokio aligns to. A byte more, and each connection begins 128 bytes
    // further on.
    assert!(size_of::<Shared>() <= 216);
}
