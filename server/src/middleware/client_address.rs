//! The address of the client that sent a request, read from `X-Forwarded-For` if a trusted proxy has
//! passed the request on.

use axum::{
    extract::{ConnectInfo, Request},
    http::HeaderMap,
};
use ipnet::IpNet;
use platform::network::is_trusted;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The address at the other end of the connection; the unspecified address if it is not known.
pub(super) fn peer(request: &Request) -> IpAddr {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| {
        peer.ip()
    })
}

/// The client's address. This is the peer, unless the peer is a trusted proxy: then it is the address
/// that the proxy names, and so on through a chain of proxies. What other peers claim is ignored.
pub(super) fn find(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let claimed: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    let mut address = peer;
    for claim in claimed.into_iter().rev() {
        if !is_trusted(address, trusted) {
            break;
        }
        let Some(before) = without_port(claim.trim()) else {
            break;
        };
        address = before;
    }
    address.to_canonical()
}

/// The address in `claim`, to which some proxies append the port.
fn without_port(claim: &str) -> Option<IpAddr> {
    let bare = claim.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse().ok();
    address.or_else(|| Some(claim.parse::<SocketAddr>().ok()?.ip()))
}

#[cfg(test)]
mod tests {
    use super::{super::headers, *};

    #[test]
    fn only_trusted_proxies_say_where_a_request_comes_from() {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"]
            .map(|network| network.parse().unwrap())
            .to_vec();
        for (peer, forwarded, from) in [
            // A client that connects directly can claim any address.
            ("203.0.113.7", "198.51.100.1", "203.0.113.7"),
            ("10.0.0.2", "198.51.100.1", "198.51.100.1"),
            ("::ffff:10.0.0.2", "198.51.100.1:4711", "198.51.100.1"),
            ("10.0.0.2", "[2001:db8::1]:4711", "2001:db8::1"),
            // The client wrote the first of these; the proxies added the others.
            ("10.0.0.2", "1.1.1.1, 203.0.113.7, 10.9.9.9", "203.0.113.7"),
            ("10.0.0.2", "nonsense", "10.0.0.2"),
            ("10.0.0.2", "203.0.113.7, nonsense", "10.0.0.2"),
        ] {
            let headers = headers(&[("x-forwarded-for", forwarded)]);
            let found = find(peer.parse().unwrap(), &headers, &trusted);
            assert_eq!(found.to_string(), from, "{peer}: {forwarded}");
        }
        let alone = find("10.0.0.2".parse().unwrap(), &HeaderMap::new(), &trusted);
        assert_eq!(alone.to_string(), "10.0.0.2");
    }
}
