//! Simulation of clients: what is held is bounded, and whoever goes on with his messages gets them
//! through. They are simulated, and drive the code that runs.

use std::{
    net::SocketAddr,
    sync::{atomic::Ordering::SeqCst, Arc},
};

use proptest::prelude::*;

use super::{Claim, InboundBudget, SMALL_MESSAGE};
use crate::{
    protocol::Held,
    server::{
        addresses::Addresses, charge::Charge, config::QueueLimits, connection::held,
        handle::Handle, pause,
    },
};

const TOTAL: usize = 256 * 1024;
const LIMIT: usize = 200 * 1024;
const READ: usize = 16 * 1024;

/// A client that sends messages of these lengths, and the last of them not to its end.
#[derive(Clone, Debug)]
struct Client {
    messages: Vec<usize>,
    /// Bytes of the last one that never come.
    missing: usize,
    /// True if its headers say how long they are.
    says: bool,
}

fn client() -> impl Strategy<Value = Client> {
    let message = prop_oneof![Just(0), 1..2 * SMALL_MESSAGE, SMALL_MESSAGE..LIMIT];
    let missing = prop_oneof![2 => Just(0), 1 => 1..LIMIT];
    (prop::collection::vec(message, 1..5), missing, any::<bool>())
        .prop_map(|(messages, missing, says)| Client { messages, missing, says })
}

/// Its connection, as far as its driver has come.
struct Driver {
    client: Client,
    handle: Handle,
    held: Held,
    come: usize,
    next: usize,
    /// True if anything has come since its turn was looked at.
    has_moved: bool,
    /// True if it had its turn then.
    had_turn: bool,
    is_ended: bool,
}

impl Driver {
    fn is_healthy(&self) -> bool {
        self.client.missing == 0
    }

    fn left(&self) -> usize {
        self.client.messages.get(self.next).map_or(0, |len| len - self.come)
    }

    fn is_done(&self) -> bool {
        self.is_ended || self.next == self.client.messages.len()
    }

    /// Reads once, if it may: what it has to tell of.
    fn read(&mut self) -> Option<Charge> {
        let shared = Arc::clone(&self.handle.0);
        let is_held = shared.pauses.load(SeqCst) != 0;
        if self.is_done() || is_held {
            return None;
        }
        let is_last = self.next + 1 == self.client.messages.len();
        let never = if is_last { self.client.missing.min(self.left()) } else { 0 };
        let outstanding = if self.client.says { self.left() } else { LIMIT - self.come };
        let claim =
            (self.held.bytes() > SMALL_MESSAGE).then_some(Claim { outstanding, limit: LIMIT });
        if !shared.budget.may_read(&shared, claim) {
            return None;
        }
        let len = READ.min(self.left() - never);
        self.has_moved |= len > 0;
        self.come += len;
        self.held.set(self.come);
        let is_stuck = self.left() > 0 || never > 0 || is_last && self.client.missing > 0;
        if is_stuck {
            return None;
        }
        // As the driver does: counted where it waits, then not where it was.
        let charge = Charge::new(&shared, self.come, 1);
        self.held.set(0);
        self.come = 0;
        self.next += 1;
        shared.budget.end_turn(&shared);
        Some(charge)
    }

    /// The time of its turn is over, if it has one.
    fn tick(&mut self) {
        let budget = &self.handle.0.budget;
        let is_idle = !std::mem::take(&mut self.has_moved);
        let had_turn = std::mem::replace(&mut self.had_turn, budget.has_turn(&self.handle.0));
        if !self.had_turn {
            return;
        }
        let held = self.handle.0.pauses.load(SeqCst);
        if held & !pause::BUDGET_FULL != 0 {
            // As the driver does: it is not read, for other reasons.
            budget.end_turn(&self.handle.0);
        } else if is_idle && had_turn && budget.is_waited_for() {
            budget.leave(&self.handle.0);
            self.held.set(0);
            self.is_ended = true;
        }
    }
}

struct Site {
    budget: Arc<InboundBudget>,
    drivers: Vec<Driver>,
    queue: Vec<Charge>,
}

impl Site {
    fn new(clients: Vec<Client>) -> Self {
        let limits = QueueLimits { bytes: SMALL_MESSAGE, messages: 8, total: TOTAL };
        let budget = Arc::new(InboundBudget::new(limits));
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let drivers = clients.into_iter().map(|client| {
            let handle = Handle::new(0, Addresses::new(address, address), Arc::clone(&budget));
            let held = held(&handle.0, 0);
            let (come, next) = (0, 0);
            let (has_moved, had_turn, is_ended) = (false, false, false);
            Driver { client, handle, held, come, next, has_moved, had_turn, is_ended }
        });
        let drivers = drivers.collect();
        Self { budget, drivers, queue: Vec::new() }
    }

    fn read(&mut self, at: usize) {
        let at = at % self.drivers.len();
        self.queue.extend(self.drivers[at].read());
        let most = TOTAL + LIMIT + self.drivers.len() * (SMALL_MESSAGE + READ);
        let (_, bytes) = self.budget.usage();
        assert!(bytes <= most, "{bytes} bytes are held, and not {most}");
    }
}

proptest! {
    #[test]
    fn nobody_healthy_is_ended_or_waits_for_ever_and_what_is_held_is_bounded(
        clients in prop::collection::vec(client(), 1..12),
        steps in prop::collection::vec((0..3u8, any::<usize>()), 0..300),
    ) {
        let mut site = Site::new(clients);
        for (step, at) in steps {
            match step {
                0 | 1 => site.read(at),
                _ if site.queue.is_empty() => {}
                _ => drop(site.queue.swap_remove(at % site.queue.len())),
            }
        }
        // Time goes by. In each round, everybody does what he can.
        let bytes: usize = site.drivers.iter().flat_map(|driver| &driver.client.messages).sum();
        for _ in 0..2 * bytes / READ + 100 {
            for at in 0..site.drivers.len() {
                site.read(at);
            }
            site.queue.clear();
            site.drivers.iter_mut().for_each(Driver::tick);
        }
        for driver in site.drivers.iter().filter(|driver| driver.is_healthy()) {
            prop_assert!(!driver.is_ended, "{:?} was ended", driver.client);
            prop_assert!(driver.is_done(), "{:?} waits", driver.client);
        }
        site.drivers.clear();
        prop_assert_eq!(site.budget.usage(), (0, 0));
    }
}

#[test]
fn a_connection_paused_for_messages_that_nobody_finishes_is_read_all_the_same() {
    let stuck = Client { messages: vec![LIMIT], missing: 1, says: false };
    let small = Client { messages: vec![100; 50], missing: 0, says: true };
    let mut site = Site::new(vec![stuck.clone(), stuck.clone(), stuck, small]);
    for _ in 0..60 {
        for at in 0..4 {
            site.read(at);
        }
        site.queue.clear();
    }
    assert!(site.budget.is_unfinished_full());
    assert!(site.drivers[3].is_done(), "small messages pass");
    let rests = |driver: &Driver| driver.handle.0.pauses.load(SeqCst) & pause::BUDGET_FULL != 0;
    assert!(site.drivers.iter().filter(|driver| rests(driver)).count() >= 1);
}

#[test]
fn a_message_that_fits_beside_a_turn_overtakes_one_that_does_not() {
    let site = Site::new(vec![]);
    let address = SocketAddr::from(([127, 0, 0, 1], 80));
    let handles: [_; 3] = std::array::from_fn(|_| {
        Handle::new(0, Addresses::new(address, address), Arc::clone(&site.budget))
    });
    let all = held(&handles[0].0, TOTAL);
    let has_turns = || handles.each_ref().map(|handle| site.budget.has_turn(&handle.0));
    for (handle, outstanding) in handles.iter().zip([LIMIT / 2, LIMIT / 2 + 1, LIMIT / 4]) {
        site.budget.may_read(&handle.0, Some(Claim { outstanding, limit: LIMIT }));
    }
    assert_eq!(has_turns(), [true, false, true]);
    site.budget.leave(&handles[0].0);
    assert_eq!(has_turns(), [false, true, true]);
    drop(all);
}
