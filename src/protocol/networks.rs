//! Networks that an address may be in: addresses with prefixes, of IPv4 and IPv6, and the local
//! sockets of Unix, which have none.

use std::net::IpAddr;

/// A list of networks. An IPv4 address that is mapped into IPv6 is the IPv4 address.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Networks {
    networks: Box<[Network]>,
    /// True if the sockets of Unix are among them.
    has_unix: bool,
}

/// Name of the sockets of Unix among networks.
const UNIX: &str = "unix";

/// Bits of an address behind its prefix are 0.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Network {
    bits: u128,
    prefix: u32,
    is_v4: bool,
}

impl Networks {
    /// Reads networks such as `10.0.0.0/8`, `::1` or `fd00::/8`, and `unix`; `None` if one is none.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let (unix, texts): (Vec<_>, Vec<_>) = texts.into_iter().partition(|text| *text == UNIX);
        let networks = texts.into_iter().map(Network::parse).collect::<Option<_>>()?;
        Some(Self { networks, has_unix: !unix.is_empty() })
    }

    /// True if the other end of a socket is in one of them: its address, or `None` for a socket of
    /// Unix.
    pub fn contain_peer(&self, peer: Option<IpAddr>) -> bool {
        peer.map_or(self.has_unix, |address| self.contain(address))
    }

    /// True if the address is in one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        let (bits, is_v4) = bits_of(address);
        self.networks
            .iter()
            .any(|network| network.is_v4 == is_v4 && masked(bits, network.prefix) == network.bits)
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let given: IpAddr = address.parse().ok()?;
        let (bits, is_v4) = bits_of(given);
        let longest = if given.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse::<u32>().ok().filter(|prefix| *prefix <= longest)?,
            None => longest,
        };
        // Of an address that is mapped into IPv6, 96 bits say that it is.
        let prefix = if is_v4 && given.is_ipv6() { prefix.checked_sub(96)? } else { prefix };
        Some(Self { bits: masked(bits, prefix), prefix, is_v4 })
    }
}

/// The address's bits, the first one at the top, and whether it is one of IPv4.
fn bits_of(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, true),
        IpAddr::V6(address) => (address.to_bits(), false),
    }
}

fn masked(bits: u128, prefix: u32) -> u128 {
    // A shift by all of them is none that there is.
    bits & !u128::MAX.checked_shr(prefix).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_a_network_if_their_prefixes_are_the_same() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.1.2", "11.0.0.1"),
            ("10.1.2.3/8", "10.255.1.2", "9.255.255.255"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.0/31", "::ffff:192.0.2.1", "192.0.2.2"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::1", "::1", "::2"),
            ("fd00::/8", "fdff::1", "fc00::1"),
            ("::/0", "2001:db8::1", "127.0.0.1"),
            ("::ffff:10.0.0.0/104", "10.1.1.1", "11.0.0.1"),
        ] {
            let networks = Networks::parse([network]).unwrap();
            assert!(networks.contain(inside.parse().unwrap()), "{inside} in {network}");
            assert!(!networks.contain(outside.parse().unwrap()), "{outside} in {network}");
        }
        let everywhere = Networks::parse(["0.0.0.0/0", "::/0"]).unwrap();
        assert!(everywhere.contain("203.0.113.9".parse().unwrap()));
        assert!(everywhere.contain("2001:db8::9".parse().unwrap()));
        assert!(!Networks::default().contain("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn the_sockets_of_unix_are_in_a_list_that_names_them() {
        let named = Networks::parse(["10.0.0.0/8", "unix"]).unwrap();
        assert!(named.contain_peer(None));
        assert!(named.contain_peer("10.1.1.1".parse().ok()));
        assert!(!named.contain_peer("11.1.1.1".parse().ok()));
        assert!(!Networks::parse(["0.0.0.0/0", "::/0"]).unwrap().contain_peer(None));
        assert_eq!(Networks::parse(["unix/8"]), None);
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in
            ["", "localhost", "10.0.0.0/33", "::/129", "10.0.0/8", "1.2.3.4/", "::ffff:1.2.3.4/95"]
        {
            assert_eq!(Networks::parse([text]), None, "{text}");
        }
    }
}
