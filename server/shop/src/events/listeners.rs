//! Limits concurrent event streams, in total and per network. `outbox/live.rs` delivers their messages.

use ipnet::IpNet;
use model::error::AppError;
use platform::{
    limits::Limits,
    network::{is_trusted, network_of},
    security::{self, Event, Outcome},
    shares::{Share, Shares},
};
use std::{net::IpAddr, sync::Arc};

/// `Retry-After` of a refused listener.
const RETRY_AFTER_SECONDS: i64 = 30;

/// Limits of concurrent streams.
#[derive(Debug, Clone)]
pub struct ListenersMax {
    /// In this process.
    pub total: usize,
    /// From one IPv4 address or IPv6 /64. Many visitors may share one: a school, a mobile network.
    pub per_network: usize,
    /// Proxies, which forward many clients' requests: one that does not forward the client's address is
    /// not limited per network.
    pub trusted_proxies: Arc<[IpNet]>,
}

impl Default for ListenersMax {
    fn default() -> Self {
        Self {
            total: 7_500,
            per_network: 500,
            trusted_proxies: Arc::default(),
        }
    }
}

/// The open streams of this process.
pub struct Listeners {
    max: ListenersMax,
    limits: Arc<Limits>,
    all: Arc<Shares<()>>,
    networks: Arc<Shares<IpNet>>,
}

/// Counts one stream until it is dropped.
pub struct ListenerSlot {
    _total: Share<()>,
    _network: Option<Share<IpNet>>,
}

impl Listeners {
    /// If `limits` are off, only the total is limited.
    pub(crate) fn new(max: ListenersMax, limits: Arc<Limits>) -> Self {
        Self {
            max,
            limits,
            all: Arc::default(),
            networks: Arc::default(),
        }
    }

    /// A slot for a listener at this address. Errors: `TooManyRequests`.
    pub fn acquire(&self, address: IpAddr) -> Result<ListenerSlot, AppError> {
        let is_limited = self.limits.are_on() && !is_trusted(address, &self.max.trusted_proxies);
        let network = network_of(address).filter(|_| is_limited);
        let full = |bound| {
            metrics::counter!("stagedoor_streams_refused_total", "bound" => bound).increment(1);
            security::record(Event::Limit, Outcome::Refused, None, "streams");
            AppError::TooManyRequests {
                retry_after_seconds: RETRY_AFTER_SECONDS,
            }
        };
        let network_share = match network {
            Some(network) => {
                let share = self.networks.take(network, self.max.per_network);
                Some(share.ok_or_else(|| full("address"))?)
            }
            None => None,
        };
        let total_share = self.all.take((), self.max.total);
        Ok(ListenerSlot {
            _total: total_share.ok_or_else(|| full("total"))?,
            _network: network_share,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform::clock::ManualClock;

    fn listeners(on: bool) -> Listeners {
        let clock = ManualClock::starting_at(model::Moment::EPOCH);
        let max = ListenersMax {
            total: 5,
            per_network: 2,
            trusted_proxies: ["10.0.0.0/8".parse().unwrap()].into(),
        };
        Listeners::new(max, Arc::new(Limits::new(clock, on, None)))
    }

    fn acquire(listeners: &Listeners, address: &str) -> Result<ListenerSlot, AppError> {
        listeners.acquire(address.parse().unwrap())
    }

    #[test]
    fn streams_are_limited_per_network_and_in_total() {
        let listeners = listeners(true);
        let mut slots = Vec::new();
        for address in ["203.0.113.1", "203.0.113.1", "2001:db8::1", "2001:db8::2"] {
            slots.push(acquire(&listeners, address).unwrap());
        }
        for address in ["203.0.113.1", "2001:db8::3"] {
            let refused = acquire(&listeners, address).err();
            assert_eq!(
                refused.unwrap().retry_after_seconds(),
                Some(30),
                "{address}"
            );
        }
        slots.push(acquire(&listeners, "203.0.113.2").unwrap());
        assert!(acquire(&listeners, "203.0.113.3").is_err(), "all are taken");
        slots.pop();
        assert!(acquire(&listeners, "203.0.113.3").is_ok());
    }

    #[test]
    fn a_proxy_and_a_process_without_limits_have_only_the_total_limit() {
        let behind_proxy = listeners(true);
        let unlimited = listeners(false);
        for (listeners, address) in [(&behind_proxy, "10.1.2.3"), (&unlimited, "203.0.113.1")] {
            let slots: Vec<_> = (0..5)
                .map(|_| acquire(listeners, address).unwrap())
                .collect();
            assert!(acquire(listeners, address).is_err());
            drop(slots);
        }
    }
}
