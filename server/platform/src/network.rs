//! The network that a request comes from, as limits count it, and whether it is a trusted proxy's.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};

/// The bits of an IPv6 address that name a household's or a site's network.
const IPV6_PREFIX: u8 = 64;

/// The network that limits count `address` by: the address itself for IPv4, its /64 for IPv6, whose
/// owner can use any of the other addresses in it. `None` if the address is not known.
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

/// The network of `address` as its owner is shown it, and as it is kept beside a session: without the
/// part that names a machine or a household, a /24 of IPv4 or a /48 of IPv6. `None` if the address is
/// not known.
pub fn network_prefix(address: IpAddr) -> Option<String> {
    let address = address.to_canonical();
    if address.is_unspecified() {
        return None;
    }
    let bits = if address.is_ipv4() { 24 } else { 48 };
    let network = IpNet::new(address, bits).ok()?;
    Some(network.trunc().to_string())
}

/// Whether `address` is one of the proxies in `trusted`, whose headers about the client are believed.
pub fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::{network_of, network_prefix};

    #[test]
    fn a_shown_network_names_no_machine() {
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
