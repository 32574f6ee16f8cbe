//! The security log: who tried what at the door, and what came of it. One line of target `security`
//! for each: signing in, limits that were hit, requests that were refused, changes of passwords and
//! addresses, what operators do.
//!
//! A line names an account by its id, and a network address by a hash that only the shop's own key can
//! make (docs/deploy.md). It never has an address, a name, a password or a token in it: what is noted
//! are the words of [`Event`] and [`Outcome`], not what somebody sent. It decides nothing.

use crate::{network::network_of, request};
use model::{
    error::{AppError, AppResult},
    ids::UserId,
};
use ring::hmac::{HMAC_SHA256, Key, sign};
use std::{
    net::IpAddr,
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};
use strum::IntoStaticStr;

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Event {
    /// Somebody made an account.
    SignUp,
    /// A guest began to buy.
    GuestCheckout,
    /// Somebody signed in with their password, and their second factor if they have one.
    SignIn,
    /// A guest signed in by a mailed link.
    SignInByLink,
    /// Somebody signed out.
    SignOut,
    /// A signed-in person proved that they know their password.
    PasswordProof,
    /// A code of a second factor was asked for, and a wrong one was typed.
    SecondFactorProof,
    /// The second factor was turned on by its owner.
    SecondFactorOn,
    /// The second factor was turned off by its owner.
    SecondFactorOff,
    /// The second factor was deleted by an operator's command.
    SecondFactorReset,
    /// The recovery codes were replaced by their owner.
    RecoveryCodes,
    /// A link that confirms an address was asked for.
    EmailLink,
    /// An address was confirmed by a mailed link.
    EmailConfirmation,
    /// The address of an account was replaced by another, which was confirmed.
    EmailChange,
    /// A link to a new password was asked for.
    PasswordLink,
    /// The password was changed by its owner.
    PasswordChange,
    /// The password was set by a mailed link.
    PasswordReset,
    /// The account was deleted.
    AccountDeletion,
    /// One session was ended by its owner.
    SessionEnd,
    /// All sessions but one were ended by their owner.
    OtherSessionsEnd,
    /// All sessions of an account were ended by an operator.
    OperatorSessionsEnd,
    /// A limit of tries was reached.
    Limit,
    /// A request that another site had a browser send.
    OtherSite,
    /// A request for what its sender may not do.
    Forbidden,
    /// A command of an operator.
    OperatorCommand,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was wrong: a password, a link.
    Failed,
    /// It was not allowed.
    Refused,
}

static KEY: OnceLock<[u8; 32]> = OnceLock::new();

const LINES_PER_SECOND: u32 = 200;

struct Second {
    began: Option<Instant>,
    lines: u32,
}

static SECOND: Mutex<Second> = Mutex::new(Second {
    began: None,
    lines: 0,
});

/// Hashes addresses by a key that is made of `secret`, so that all processes of a shop write the same
/// hash for an address. A process that has no secret makes a key of its own, which ends with it.
pub fn hash_by(secret: &[u8]) {
    let made = sign(
        &Key::new(HMAC_SHA256, secret),
        b"addresses in the security log",
    );
    if let Ok(key) = made.as_ref().try_into() {
        // Only the first counts: a test may put several shops into one process.
        let _ = KEY.set(key);
    }
}

/// What came of `result`, noted for the account that `user` finds in it. Nothing is noted of what a
/// limit has refused, which is noted as such, and of what failed through no fault of who asked.
pub fn noted<T>(
    event: Event,
    result: AppResult<T>,
    user: impl FnOnce(&T) -> Option<UserId>,
) -> AppResult<T> {
    match &result {
        Ok(done) => note(event, Outcome::Done, user(done), ""),
        Err(
            AppError::TooManyRequests { .. } | AppError::Unavailable | AppError::Internal { .. },
        ) => {}
        Err(_) => note(event, Outcome::Failed, None, ""),
    }
    result
}

/// Writes a line about the request being answered. `what` says more in words of ours, or nothing.
pub fn note(event: Event, outcome: Outcome, user: Option<UserId>, what: &str) {
    if !has_room() {
        metrics::counter!("stagedoor_security_lines_dropped_total").increment(1);
        return;
    }
    let (event, outcome): (&str, &str) = (event.into(), outcome.into());
    let user = user.map(tracing::field::display);
    let address = hashed(request::address());
    tracing::info!(
        target: "security",
        event,
        outcome,
        user,
        address,
        request = request::id(),
        what,
        "{event} {outcome}"
    );
}

/// Whether a line may be written in this second: whoever floods the shop does not fill the disk.
fn has_room() -> bool {
    let mut second = SECOND.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    if second
        .began
        .is_none_or(|began| now.duration_since(began) >= Duration::from_secs(1))
    {
        *second = Second {
            began: Some(now),
            lines: 0,
        };
    }
    second.lines += 1;
    second.lines <= LINES_PER_SECOND
}

/// Names the network of an address, by its hash.
fn hashed(address: IpAddr) -> String {
    let key = KEY.get_or_init(rand::random);
    let Some(network) = network_of(address) else {
        return "none".to_owned();
    };
    let tag = sign(&Key::new(HMAC_SHA256, key), network.to_string().as_bytes());
    hex::encode(&tag.as_ref()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_same_hash_each_time_and_cannot_be_read_from_it() {
        let hash = |address: &str| hashed(address.parse().unwrap());
        assert_eq!(hash("192.0.2.7"), hash("192.0.2.7"));
        assert_ne!(hash("192.0.2.7"), hash("192.0.2.8"));
        assert_eq!(hash("2001:db8::1"), hash("2001:db8::2"));
        assert_eq!(hash("192.0.2.7").len(), 16);
        assert_eq!(hash("0.0.0.0"), "none");
    }
}
