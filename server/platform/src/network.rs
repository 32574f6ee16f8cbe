//! The network of an address, as limits count it and as users are shown it, and trusted proxies.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};

/// The prefix length of one customer's IPv6 network.
const IPV6_PREFIX: u8 = 64;

/// The network that limits count `address` by: a single IPv4 address, or the /64 of an IPv6 address,
/// because its owner can use every address in it. `None` for the unspecified address.
pub fn network_of(address: IpAddr) -> Option<IpNet> {
    let address = address.to_canonical();
    if address.is_unspecified() {
        return None;
    }
    match address {
        IpAddr::V4(_) => Some(address.into()),
        IpAddr::V6(v6) => {
            let whole = Ipv6Net::new(v6, IPV6_PREFIX).ok()?;
            Some(whole.trunc().into())
        }
    }
}

/// The network of `address` as it is stored with a session and shown to its user: the /24 of an IPv4 or
/// the /48 of an IPv6 address, which identifies no machine or household. `None` for the unspecified
/// address.
pub fn network_prefix(address: IpAddr) -> Option<String> {
    let address = address.to_canonical();
    if address.is_unspecified() {
        return None;
    }
    let bits = if address.is_ipv4() { 24 } else { 48 };
    let network = IpNet::new(address, bits).ok()?;
    Some(network.trunc().to_string())
}

/// Whether `address` is a proxy in `trusted`, whose headers about the client are believed.
pub fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::{network_of, network_prefix};

    #[test]
    fn a_network_prefix_identifies_no_machine() {
        let shown = |address: &str| network_prefix(address.parse().unwrap());
        assert_eq!(shown("192.0.2.7").as_deref(), Some("192.0.2.0/24"));
        assert_eq!(shown("::ffff:192.0.2.7").as_deref(), Some("192.0.2.0/24"));
        assert_eq!(
            shown("2001:db8:1:2:3:4:5:6").as_deref(),
            Some("2001:db8:1::/48")
        );
        assert_eq!(shown("0.0.0.0"), None);
    }

    fn named(address: &str) -> Option<String> {
        network_of(address.parse().unwrap()).map(|network| network.to_string())
    }

    #[test]
    fn ipv6_counts_by_its_first_64_bits_and_ipv4_by_its_address() {
        assert_eq!(named("192.0.2.7").as_deref(), Some("192.0.2.7/32"));
        assert_eq!(named("::ffff:192.0.2.7").as_deref(), Some("192.0.2.7/32"));
        assert_eq!(
            named("2001:db8:1:2:3:4:5:6").as_deref(),
            Some("2001:db8:1:2::/64")
        );
        assert_eq!(named("2001:db8:1:2::9"), named("2001:db8:1:2:ffff::1"));
        assert_ne!(named("2001:db8:1:3::9"), named("2001:db8:1:2::9"));
        assert_eq!(named("0.0.0.0"), None);
        assert_eq!(named("::"), None);
    }
}
