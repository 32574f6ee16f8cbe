//! How many pictures are on their way in at once, in this process: in total, of one account, and from
//! one network address. Each may take two minutes and 8 MiB of memory, and slow ones must not keep
//! other people's out. Reading and opening them is `pictures.rs`'s and `develop.rs`'s.

use ipnet::IpNet;
use model::{error::AppError, ids::UserId};
use platform::{
    limits::Limits,
    network::{is_trusted, network_of},
    security::{self, Event, Outcome},
    shares::{Share, Shares},
};
use std::{net::IpAddr, sync::Arc};

/// At once, each with up to 8 MiB in memory.
const TOTAL: usize = 16;
const PER_ACCOUNT: usize = 2;
/// When who is refused may try again, in seconds.
const AGAIN_AFTER_SECONDS: i64 = 10;

/// All pictures that are on their way in.
pub struct Uploads {
    per_network: usize,
    trusted_proxies: Arc<[IpNet]>,
    limits: Arc<Limits>,
    all: Arc<Shares<()>>,
    accounts: Arc<Shares<UserId>>,
    networks: Arc<Shares<IpNet>>,
}

/// A picture's place, until it is dropped.
pub struct Uploading {
    _total: Share<()>,
    _account: Option<Share<UserId>>,
    _network: Option<Share<IpNet>>,
}

impl Uploads {
    /// None yet. Where `limits` are off, only the total counts.
    pub fn new(per_network: usize, trusted_proxies: Arc<[IpNet]>, limits: Arc<Limits>) -> Self {
        Self {
            per_network,
            trusted_proxies,
            limits,
            all: Arc::default(),
            accounts: Arc::default(),
            networks: Arc::default(),
        }
    }

    /// A place for a picture of this account from this address. Errors: `TooManyRequests` if theirs
    /// are taken, `Unavailable` if all are.
    pub fn enter(&self, user: Option<UserId>, address: IpAddr) -> Result<Uploading, AppError> {
        let count = self.limits.are_on();
        let is_proxy = is_trusted(address, &self.trusted_proxies);
        let network = network_of(address).filter(|_| count && !is_proxy);
        let of_account = user
            .filter(|_| count)
            .map(|user| self.accounts.take(user, PER_ACCOUNT).ok_or_else(too_many))
            .transpose()?;
        let of_network = network
            .map(|network| {
                let share = self.networks.take(network, self.per_network);
                share.ok_or_else(too_many)
            })
            .transpose()?;
        let of_all = self.all.take((), TOTAL).ok_or(AppError::Unavailable)?;
        Ok(Uploading {
            _total: of_all,
            _account: of_account,
            _network: of_network,
        })
    }
}

fn too_many() -> AppError {
    security::record(Event::Limit, Outcome::Refused, None, "uploads");
    AppError::TooManyRequests {
        retry_after_seconds: AGAIN_AFTER_SECONDS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform::clock::ManualClock;
    use uuid::Uuid;

    fn uploads(on: bool) -> Uploads {
        let clock = ManualClock::starting_at(model::Moment::EPOCH);
        let proxies: Arc<[IpNet]> = ["10.0.0.0/8".parse().unwrap()].into();
        Uploads::new(4, proxies, Arc::new(Limits::new(clock, on, None)))
    }

    fn enter(uploads: &Uploads, user: u128, address: &str) -> Result<Uploading, AppError> {
        let user = UserId(Uuid::from_u128(user));
        uploads.enter(Some(user), address.parse().unwrap())
    }

    #[test]
    fn one_account_and_one_address_leave_places_for_others() {
        let uploads = uploads(true);
        let mut on_the_way = Vec::new();
        for user in [1, 1, 2, 2] {
            on_the_way.push(enter(&uploads, user, "203.0.113.1").unwrap());
        }
        for (user, address) in [(1, "203.0.113.2"), (3, "203.0.113.1")] {
            let refused = enter(&uploads, user, address).err().unwrap();
            assert_eq!(refused.retry_after_seconds(), Some(10), "{user} {address}");
        }
        on_the_way.push(enter(&uploads, 3, "203.0.113.2").unwrap());
        drop(on_the_way);
        assert!(enter(&uploads, 1, "203.0.113.1").is_ok());
    }

    #[test]
    fn there_is_an_end_to_all_together() {
        for (uploads, address) in [(uploads(true), "10.1.2.3"), (uploads(false), "203.0.113.1")] {
            let places: Vec<_> = (0..16)
                .map(|user| enter(&uploads, user, address).unwrap())
                .collect();
            assert_eq!(
                enter(&uploads, 99, address).err(),
                Some(AppError::Unavailable)
            );
            drop(places);
        }
    }
}
