//! Limits by client: how many connections one address has, and how fast it begins new ones.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    config::ClientLimits,
    locks::{Guarded, LockRank},
    process::ProcessMutex,
};
use crate::{
    error::HandshakeError,
    protocol::{Rate, TokenBucket},
};

/// Number of addresses without a connection whose rate is remembered. Past it, those are forgotten
/// that have come again to all they may, and where that does not help, all.
const MOST_GONE: usize = 64 * 1024;

/// Below this many, nothing is looked through.
const FEW_GONE: usize = 1024;

/// The clients of one server.
#[derive(Debug)]
pub(crate) struct Clients {
    limits: ClientLimits,
    table: ProcessMutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    clients: HashMap<ClientKey, Client>,
    /// Those of them that have no connection.
    gone: usize,
    /// Number of those at which they are next looked through.
    next_sweep: usize,
}

impl Guarded for Table {
    const RANK: LockRank = LockRank::Counter;
}

/// An address of IPv4, or the network of one of IPv6.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct ClientKey(u64, bool);

impl ClientKey {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_bits().into(), false),
            IpAddr::V6(address) => Self((address.to_bits() >> 64) as u64, true),
        }
    }
}

#[derive(Debug)]
struct Client {
    connections: usize,
    bucket: Option<TokenBucket>,
}

/// Place of a connection among those of its client, which dropping it gives up.
#[derive(Debug)]
pub(crate) struct Admission {
    clients: Arc<Clients>,
    key: ClientKey,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let Some(mut table) = self.clients.table.lock() else { return };
        let Some(client) = table.clients.get_mut(&self.key) else { return };
        client.connections -= 1;
        if client.connections > 0 {
            return;
        }
        if client.bucket.is_some() {
            table.gone += 1;
        } else {
            table.clients.remove(&self.key);
        }
        if table.clients.is_empty() {
            table.clients = HashMap::new();
        }
    }
}

impl Clients {
    pub(crate) fn new(limits: ClientLimits) -> Option<Arc<Self>> {
        let table = Table { next_sweep: FEW_GONE, ..Table::default() };
        limits.is_limited().then(|| Arc::new(Self { limits, table: ProcessMutex::new(table) }))
    }

    /// True for an address whose connections are those of others.
    pub(crate) fn is_proxy(&self, address: IpAddr) -> bool {
        self.limits.trusted_proxies.as_ref().is_some_and(|proxies| proxies.contain(address))
    }

    /// Address of an accepted connection that is its own. By a socket of Unix, which has none,
    /// anybody's come.
    pub(crate) fn direct(&self, peer: Option<IpAddr>) -> Option<IpAddr> {
        peer.filter(|peer| !self.limits.proxy_protocol && !self.is_proxy(*peer))
    }

    /// Lets one more connection of an address in; in a forked child, whose none is, nobody is
    /// counted.
    ///
    /// # Errors
    /// [`HandshakeError::TooManyConnections`] or [`HandshakeError::TooFast`]: it is turned away.
    pub(crate) fn admit(
        self: &Arc<Self>,
        address: IpAddr,
        now: Instant,
    ) -> Result<Option<Admission>, HandshakeError> {
        let key = ClientKey::of(address);
        let Some(mut table) = self.table.lock() else { return Ok(None) };
        if table.gone >= table.next_sweep {
            table.sweep(self.limits.handshakes, now);
        }
        let rate = self.limits.handshakes;
        let fresh = || Client { connections: 0, bucket: rate.map(|it| TokenBucket::new(it, now)) };
        let before = table.clients.len();
        let client = table.clients.entry(key).or_insert_with(fresh);
        let was_gone = client.connections == 0;
        let refusal = match (self.limits.connections, rate, &mut client.bucket) {
            (Some(limit), ..) if client.connections >= limit => {
                Some(HandshakeError::TooManyConnections(limit))
            }
            (_, Some(rate), Some(bucket)) => bucket.take(rate, now).err().map(too_fast),
            _ => None,
        };
        client.connections += usize::from(refusal.is_none());
        let is_new = table.clients.len() > before;
        match refusal {
            // A full bucket has one, so this client was there before.
            Some(refusal) => Err(refusal),
            None => {
                table.gone -= usize::from(was_gone && !is_new);
                Ok(Some(Admission { clients: Arc::clone(self), key }))
            }
        }
    }

    #[cfg(all(test, not(feature = "loom")))]
    fn len(&self) -> (usize, usize) {
        let table = self.table.lock().expect("this process's");
        (table.clients.len(), table.gone)
    }
}

/// Error of a client that begins connections too fast, and may begin one after this time.
fn too_fast(wait: Duration) -> HandshakeError {
    HandshakeError::TooFast(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

impl Table {
    /// Lets go of those who are gone and are as good as new; where many stay, of all who are gone.
    fn sweep(&mut self, rate: Option<Rate>, now: Instant) {
        self.clients.retain(|_, client| client.connections > 0 || !client.is_fresh(rate, now));
        if self.count_gone() >= MOST_GONE / 2 {
            self.clients.retain(|_, client| client.connections > 0);
        }
        self.clients.shrink_to(2 * self.clients.len());
        self.gone = self.count_gone();
        self.next_sweep = (2 * self.gone).clamp(FEW_GONE, MOST_GONE);
    }

    fn count_gone(&self) -> usize {
        self.clients.values().filter(|client| client.connections == 0).count()
    }
}

impl Client {
    fn is_fresh(&mut self, rate: Option<Rate>, now: Instant) -> bool {
        match (rate, &mut self.bucket) {
            (Some(rate), Some(bucket)) => bucket.is_full(rate, now),
            _ => true,
        }
    }
}

#[cfg(all(test, not(feature = "loom")))]
#[allow(clippy::unwrap_used)] // clippy knows test functions, and not what they share.
mod tests {
    use super::*;

    fn clients(connections: Option<usize>, rate: Option<f64>) -> Arc<Clients> {
        let handshakes = rate.and_then(Rate::new);
        let limits = ClientLimits { connections, handshakes, ..ClientLimits::default() };
        Clients::new(limits).unwrap()
    }

    fn admit(clients: &Arc<Clients>, address: &str) -> Result<Admission, HandshakeError> {
        let admission = clients.admit(address.parse().unwrap(), Instant::now());
        admission.map(|admission| admission.unwrap())
    }

    #[test]
    fn an_address_has_so_many_connections_and_ipv6_so_many_in_64_bits() {
        let clients = clients(Some(2), None);
        for [one, same, other] in [
            ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"],
            ["2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"],
        ] {
            let first = admit(&clients, one).unwrap();
            let _second = admit(&clients, same).unwrap();
            assert_eq!(admit(&clients, one).err(), Some(HandshakeError::TooManyConnections(2)));
            let _other = admit(&clients, other).unwrap();
            drop(first);
            let _again = admit(&clients, one).unwrap();
            assert_eq!(admit(&clients, same).err(), Some(HandshakeError::TooManyConnections(2)));
        }
        assert_eq!(clients.len(), (0, 0));
        assert!(Clients::new(ClientLimits::default()).is_none());
    }

    #[test]
    fn an_address_that_begins_too_many_is_told_when_it_may_again() {
        let clients = clients(None, Some(2.0));
        drop(admit(&clients, "192.0.2.1").unwrap());
        let _stays = admit(&clients, "192.0.2.1").unwrap();
        assert_eq!(admit(&clients, "192.0.2.1").unwrap_err(), HandshakeError::TooFast(1));
        let slow = self::clients(None, Some(0.25));
        drop(admit(&slow, "192.0.2.1").unwrap());
        assert_eq!(admit(&slow, "192.0.2.1").unwrap_err(), HandshakeError::TooFast(4));
        admit(&clients, "192.0.2.2").unwrap();
        assert_eq!(clients.len(), (2, 1));
    }

    #[test]
    fn those_who_are_gone_are_let_go_and_never_more_are_kept_than_there_is_room_for() {
        let clients = clients(Some(9), Some(1000.0));
        let stays = admit(&clients, "10.0.0.1").unwrap();
        let begin = Instant::now();
        let from = |number: u32, now| {
            drop(clients.admit(IpAddr::from(number.to_be_bytes()), now).unwrap());
        };
        // Each is as good as new after a millisecond.
        for number in 0..5000_u32 {
            from(number, begin + Duration::from_millis(u64::from(number) / 10));
        }
        assert!(clients.len().0 < 2 * FEW_GONE, "{:?}", clients.len());
        // None of these is.
        for number in 0..200_000_u32 {
            from(1 << 30 | number, begin + Duration::from_secs(1));
        }
        assert!(clients.len().0 <= MOST_GONE + 1, "{:?}", clients.len());
        drop(stays);
        let _last = clients.admit("10.0.0.1".parse().unwrap(), begin).unwrap();
    }
}
