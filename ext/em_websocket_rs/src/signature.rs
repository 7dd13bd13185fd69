//! Numbers by which EventMachine's functions know servers and connections.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Last signature before those of servers: EventMachine counts its own up from 1.
const BEFORE_SERVERS: u64 = 1 << 48;

/// First signature of connections. Below this bit are the connection's slot and the slot's
/// generation, so that no table is needed to find it.
const CONNECTION: u64 = 1 << 60;

/// Bits for the slot. A server would need 16 million connections at a time for more; those could
/// not be found by their signatures.
const SLOT_BITS: u32 = 24;

/// Number of servers that have been started.
static SERVERS: AtomicU64 = AtomicU64::new(0);

/// Signature of one more server.
pub(crate) fn of_next_server() -> u64 {
    BEFORE_SERVERS + SERVERS.fetch_add(1, Relaxed) + 1
}

/// Signature of the connection with this number.
pub(crate) fn of_connection(number: u64) -> u64 {
    CONNECTION | (number >> 32) << SLOT_BITS | slot_bits(number)
}

/// Number of the connection with this signature; `None` where it is not a connection's.
pub(crate) fn connection_number(signature: u64) -> Option<u64> {
    (signature >= CONNECTION)
        .then(|| ((signature & !CONNECTION) >> SLOT_BITS) << 32 | slot_bits(signature))
}

fn slot_bits(number: u64) -> u64 {
    number & ((1 << SLOT_BITS) - 1)
}
