//! Limits the concurrent picture uploads of this process: in total, per account and per network. An upload
//! may take two minutes and 8 MiB of memory, and slow ones must not block other users. `pictures.rs` and
//! `render.rs` process the uploaded pictures.

use ipnet::IpNet;
use model::{error::AppError, ids::UserId};
use platform::{
    limits::Limits,
    network::{is_trusted, network_of},
    security::{self, Event, Outcome},
    shares::{Share, Shares},
};
use std::{net::IpAddr, sync::Arc};

/// Each with up to 8 MiB in memory.
const TOTAL_MAX: usize = 16;
const PER_ACCOUNT_MAX: usize = 2;
/// `Retry-After` of a refused upload.
const RETRY_AFTER_SECONDS: i64 = 10;

/// The uploads in progress.
pub struct Uploads {
    per_network: usize,
    trusted_proxies: Arc<[IpNet]>,
    limits: Arc<Limits>,
    all: Arc<Shares<()>>,
    accounts: Arc<Shares<UserId>>,
    networks: Arc<Shares<IpNet>>,
}

/// Counts one upload until it is dropped.
pub struct UploadSlot {
    _total: Share<()>,
    _account: Option<Share<UserId>>,
    _network: Option<Share<IpNet>>,
}

impl Uploads {
    /// If `limits` are off, only the total is limited.
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

    /// A slot for an upload by this account from this address. Errors: `TooManyRequests` at the limit of
    /// the account or network, `Unavailable` at the total limit.
    pub fn acquire(&self, user: Option<UserId>, address: IpAddr) -> Result<UploadSlot, AppError> {
        let is_limited = self.limits.are_on();
        let is_proxy = is_trusted(address, &self.trusted_proxies);
        let network = network_of(address).filter(|_| is_limited && !is_proxy);
        let account_share = user
            .filter(|_| is_limited)
            .map(|user| {
                let share = self.accounts.take(user, PER_ACCOUNT_MAX);
                share.ok_or_else(too_many)
            })
            .transpose()?;
        let network_share = network
            .map(|network| {
                let share = self.networks.take(network, self.per_network);
                share.ok_or_else(too_many)
            })
            .transpose()?;
        let total_share = self.all.take((), TOTAL_MAX);
        Ok(UploadSlot {
            _total: total_share.ok_or(AppError::Unavailable)?,
            _account: account_share,
            _network: network_share,
        })
    }
}

fn too_many() -> AppError {
    security::record(Event::Limit, Outcome::Refused, None, "uploads");
    AppError::TooManyRequests {
        retry_after_seconds: RETRY_AFTER_SECONDS,
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

    fn acquire(uploads: &Uploads, user: u128, address: &str) -> Result<UploadSlot, AppError> {
        let user = UserId(Uuid::from_u128(user));
        uploads.acquire(Some(user), address.parse().unwrap())
    }

    #[test]
    fn uploads_are_limited_per_account_and_network() {
        let uploads = uploads(true);
        let mut slots = Vec::new();
        for user in [1, 1, 2, 2] {
            slots.push(acquire(&uploads, user, "203.0.113.1").unwrap());
        }
        for (user, address) in [(1, "203.0.113.2"), (3, "203.0.113.1")] {
            let refused = acquire(&uploads, user, address).err().unwrap();
            assert_eq!(refused.retry_after_seconds(), Some(10), "{user} {address}");
        }
        slots.push(acquire(&uploads, 3, "203.0.113.2").unwrap());
        drop(slots);
        assert!(acquire(&uploads, 1, "203.0.113.1").is_ok());
    }

    #[test]
    fn uploads_are_limited_in_total() {
        for (uploads, address) in [(uploads(true), "10.1.2.3"), (uploads(false), "203.0.113.1")] {
            let slots: Vec<_> = (0..16)
                .map(|user| acquire(&uploads, user, address).unwrap())
                .collect();
            assert_eq!(
                acquire(&uploads, 99, address).err(),
                Some(AppError::Unavailable)
            );
            drop(slots);
        }
    }
}
