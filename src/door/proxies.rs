//! Whom a request comes from, when it comes through proxies.
//!
//! Owns which proxies are believed. What a stranger writes into a header is never believed: the way is followed back from our
//! end, hop by hop, for as long as the hop is a proxy of ours, and whoever stands before the last of them is the client.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The address that a request is counted under. Of IPv6 the network, since whoever has one address has 2^64 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client(IpAddr);

impl Client {
    /// Of an address.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => Self(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into()),
            v4 => Self(v4),
        }
    }

    /// As it is logged.
    #[must_use]
    pub fn address(self) -> IpAddr {
        self.0
    }
}

/// Addresses and ranges of proxies that tell the truth about who came to them.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Vec<(IpAddr, u8)>);

impl Proxies {
    /// Of addresses and ranges such as `10.0.0.0/8`; what is neither lets nobody be believed.
    #[must_use]
    pub fn new(ranges: &[String]) -> Self {
        Self(ranges.iter().filter_map(|range| read_range(range)).collect())
    }

    /// Whether what this address says is believed.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|(network, bits)| is_within(address, *network, *bits))
    }

    /// Whom a request of `peer` comes from. `forwarded` are the lines of `Forwarded` (RFC 7239), `listed` those of
    /// `X-Forwarded-For`.
    ///
    /// A proxy that writes one of both passes the other on as the client wrote it. Where both are there and do not lead to the
    /// same address, neither is believed, and the request counts as the proxy's.
    #[must_use]
    pub fn client(&self, peer: IpAddr, forwarded: &[&str], listed: &[&str]) -> Client {
        let listed = listed.iter().flat_map(|line| line.split(','));
        let listed = self.before_ours(peer, listed.map(address).collect());
        let forwarded = forwarded.iter().flat_map(|line| line.split(','));
        let forwarded = self.before_ours(peer, forwarded.map(address_of_for).collect());
        Client::new(match (listed, forwarded) {
            (Some(one), Some(other)) if one != other => peer,
            (Some(one), _) | (None, Some(one)) => one,
            (None, None) => peer,
        })
    }

    /// The right-most hop that is none of ours; none when nothing was written. A hop that cannot be read ends the way.
    fn before_ours(&self, peer: IpAddr, hops: Vec<Option<IpAddr>>) -> Option<IpAddr> {
        if hops.is_empty() || !self.trusts(peer) {
            return None;
        }
        let mut last = peer;
        for hop in hops.into_iter().rev() {
            let Some(hop) = hop else { break };
            last = hop.to_canonical();
            if !self.trusts(last) {
                break;
            }
        }
        Some(last)
    }
}

/// `203.0.113.7`, `203.0.113.7:4711`, `2001:db8::1`, `[2001:db8::1]:4711`.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

/// The node of `for=` in one element of `Forwarded`.
fn address_of_for(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| name.eq_ignore_ascii_case("for")).and_then(|(_, node)| address(node))
}

fn read_range(text: &str) -> Option<(IpAddr, u8)> {
    let (network, bits) = text.split_once('/').map_or((text, None), |(network, bits)| (network, Some(bits)));
    let network: IpAddr = network.parse().ok()?;
    let most = if network.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
    (bits <= most).then_some((network, bits))
}

fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let same = |one: u128, other: u128, of: u32| (one ^ other).checked_shr(of - u32::from(bits)).unwrap_or(0) == 0;
    match (address, network) {
        (IpAddr::V4(one), IpAddr::V4(other)) => same(one.to_bits().into(), other.to_bits().into(), 32),
        (IpAddr::V6(one), IpAddr::V6(other)) => same(one.to_bits(), other.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(proxies: &[&str], peer: &str, forwarded: &[&str], listed: &[&str]) -> String {
        let proxies = Proxies::new(&proxies.iter().map(ToString::to_string).collect::<Vec<_>>());
        proxies.client(peer.parse().unwrap(), forwarded, listed).address().to_string()
    }

    #[test]
    fn a_header_is_believed_of_a_trusted_proxy_alone_and_from_the_right() {
        let ours = &["10.0.0.0/8", "192.0.2.9", "2001:db8:1::/48"];
        for (peer, listed, expected) in [
            // Nobody of ours: whatever it writes, it is itself.
            ("203.0.113.7", &["198.51.100.1"][..], "203.0.113.7"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            // What a client wrote itself stands to the left of what our proxy added.
            ("10.0.0.1", &["1.2.3.4, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.2.3.4", "198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.2.3.4, 198.51.100.1, 192.0.2.9,10.3.4.5"], "198.51.100.1"),
            ("10.0.0.1", &["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
            ("10.0.0.1", &["1.2.3.4, what, 10.0.0.3"], "10.0.0.3"),
            ("10.0.0.1", &["1.2.3.4, "], "10.0.0.1"),
            ("::ffff:10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("2001:db8:1::5", &["[2001:db8:2:3:4:5:6:7]:4711"], "2001:db8:2:3::"),
        ] {
            assert_eq!(client(ours, peer, &[], listed), expected, "{peer} {listed:?}");
        }
        assert_eq!(client(&[], "10.0.0.1", &[], &["198.51.100.1"]), "10.0.0.1");
    }

    #[test]
    fn forwarded_is_read_and_has_to_agree_with_the_other_header() {
        let ours = &["10.0.0.0/8"];
        for (forwarded, listed, expected) in [
            (&["for=198.51.100.1;proto=https;by=10.0.0.1"][..], &[][..], "198.51.100.1"),
            (&["for=1.2.3.4, For=\"[2001:db8::1]:4711\""], &[], "2001:db8::"),
            (&["for=1.2.3.4, for=unknown"], &[], "10.0.0.1"),
            (&["for=_hidden"], &[], "10.0.0.1"),
            (&["proto=https"], &[], "10.0.0.1"),
            (&["for=198.51.100.1"], &["198.51.100.1"], "198.51.100.1"),
            // One of them is what the client wrote; which one cannot be told.
            (&["for=1.2.3.4"], &["198.51.100.1"], "10.0.0.1"),
        ] {
            assert_eq!(client(ours, "10.0.0.1", forwarded, listed), expected, "{forwarded:?} {listed:?}");
        }
    }

    #[test]
    fn ranges_end_where_they_end() {
        let proxies = |range: &str| Proxies::new(&[range.to_owned()]);
        for (range, inside, outside) in [
            ("10.1.0.0/16", "10.1.255.255", "10.2.0.0"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("10.1.2.2/31", "10.1.2.3", "10.1.2.4"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
            ("::1", "::1", "::2"),
        ] {
            let trusts = |address: &str| proxies(range).trusts(address.parse().unwrap());
            assert!(trusts(inside) && !trusts(outside), "{range}");
        }
        assert!(proxies("0.0.0.0/0").trusts("8.8.8.8".parse().unwrap()));
        assert!(!proxies("0.0.0.0/0").trusts("2001:db8::1".parse().unwrap()));
        assert!(!proxies("10.0.0.0/33").trusts("10.0.0.0".parse().unwrap()));
    }
}
