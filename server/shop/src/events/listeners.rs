//! How many listen to events' streams at once: in total, and from one network address. Owns the places
//! of listeners; what they hear is `outbox/live.rs`'s.

use ipnet::IpNet;
use model::error::AppError;
use platform::{
    limits::Limits,
    network::{is_trusted, network_of},
    security::{self, Event, Outcome},
    shares::{Share, Shares},
};
use std::{net::IpAddr, sync::Arc};

/// When a listener that is refused may ask again, in seconds.
const AGAIN_AFTER_SECONDS: i64 = 30;

/// What bounds listeners.
#[derive(Debug, Clone)]
pub struct ListenersMax {
    /// In this process.
    pub total: usize,
    /// From one IPv4 address or IPv6 /64. Many visitors may share one: a school, a mobile network.
    pub per_network: usize,
    /// Proxies, which pass on the requests of many. One that does not say whose has no bound.
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

/// Everybody who listens.
pub struct Listeners {
    most: ListenersMax,
    limits: Arc<Limits>,
    all: Arc<Shares<()>>,
    networks: Arc<Shares<IpNet>>,
}

/// A listener's place, until it is dropped.
pub struct Listening {
    _one_of_all: Share<()>,
    _one_of_network: Option<Share<IpNet>>,
}

impl Listeners {
    /// Nobody yet. Where `limits` are off, only the total counts.
    pub(crate) fn new(most: ListenersMax, limits: Arc<Limits>) -> Self {
        Self {
            most,
            limits,
            all: Arc::default(),
            networks: Arc::default(),
        }
    }

    /// A place for a listener at this address. Errors: `TooManyRequests`.
    pub fn enter(&self, address: IpAddr) -> Result<Listening, AppError> {
        let counts = self.limits.are_on() && !is_trusted(address, &self.most.trusted_proxies);
        let network = network_of(address).filter(|_| counts);
        let full = |bound| {
            metrics::counter!("stagedoor_streams_refused_total", "bound" => bound).increment(1);
            security::record(Event::Limit, Outcome::Refused, None, "streams");
            AppError::TooManyRequests {
                retry_after_seconds: AGAIN_AFTER_SECONDS,
            }
        };
        let of_network = match network {
            Some(network) => {
                let share = self.networks.take(network, self.most.per_network);
                Some(share.ok_or_else(|| full("address"))?)
            }
            None => None,
        };
        let of_all = self.all.take((), self.most.total);
        Ok(Listening {
            _one_of_all: of_all.ok_or_else(|| full("total"))?,
            _one_of_network: of_network,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform::clock::ManualClock;

    fn listeners(on: bool) -> Listeners {
        let clock = ManualClock::starting_at(model::Moment::EPOCH);
        let most = ListenersMax {
            total: 5,
            per_network: 2,
            trusted_proxies: ["10.0.0.0/8".parse().unwrap()].into(),
        };
        Listeners::new(most, Arc::new(Limits::new(clock, on, None)))
    }

    fn enter(listeners: &Listeners, address: &str) -> Result<Listening, AppError> {
        listeners.enter(address.parse().unwrap())
    }

    #[test]
    fn one_network_and_all_together_are_bounded() {
        let listeners = listeners(true);
        let mut in_place = Vec::new();
        for address in ["203.0.113.1", "203.0.113.1", "2001:db8::1", "2001:db8::2"] {
            in_place.push(enter(&listeners, address).unwrap());
        }
        for address in ["203.0.113.1", "2001:db8::3"] {
            let refused = enter(&listeners, address).err();
            assert_eq!(
                refused.unwrap().retry_after_seconds(),
                Some(30),
                "{address}"
            );
        }
        in_place.push(enter(&listeners, "203.0.113.2").unwrap());
        assert!(enter(&listeners, "203.0.113.3").is_err(), "all are taken");
        in_place.pop();
        assert!(enter(&listeners, "203.0.113.3").is_ok());
    }

    #[test]
    fn a_proxys_visitors_and_a_rehearsal_share_no_bound() {
        let behind_proxy = listeners(true);
        let rehearsing = listeners(false);
        for (listeners, address) in [(&behind_proxy, "10.1.2.3"), (&rehearsing, "203.0.113.1")] {
            let places: Vec<_> = (0..5).map(|_| enter(listeners, address).unwrap()).collect();
            assert!(enter(listeners, address).is_err());
            drop(places);
        }
    }
}
