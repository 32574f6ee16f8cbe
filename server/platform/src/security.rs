//! The security log: one line of target `security` per sign-in, limit reached, refused request, change
//! of a password or an address, and operator command.
//!
//! A line identifies an account by its id, and a network by a keyed hash (docs/deploy.md). It contains no
//! e-mail or network address, name, password or token: only the words of [`Event`] and [`Outcome`], and
//! never user input. Makes no decisions.

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
    /// An account was created.
    SignUp,
    /// A guest began to buy.
    GuestCheckout,
    /// A sign-in with a password, and the second factor if there is one.
    SignIn,
    /// A guest signed in by a mailed link.
    SignInByLink,
    SignOut,
    /// A signed-in user confirmed their password.
    PasswordProof,
    /// A code of a second factor was requested, and a wrong one was entered.
    SecondFactorProof,
    /// The second factor was turned on by its owner.
    SecondFactorOn,
    /// The second factor was turned off by its owner.
    SecondFactorOff,
    /// The second factor was deleted by an operator's command.
    SecondFactorReset,
    /// The recovery codes were replaced by their owner.
    RecoveryCodes,
    /// A link that confirms an address was requested.
    EmailLink,
    /// An address was confirmed by a mailed link.
    EmailConfirmation,
    /// The address of an account was replaced by another, which was confirmed.
    EmailChange,
    /// A password reset link was requested.
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
    /// A rate limit was reached.
    Limit,
    /// A request that another site made a browser send.
    OtherSite,
    /// A request that its user is not permitted to make.
    Forbidden,
    /// A command on the operator's command line.
    OperatorCommand,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    Done,
    /// The password, code or link was wrong.
    Failed,
    /// It is not allowed.
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

/// Derives the key for hashes of networks from `secret`, so that all processes of a shop log the same
/// hash. Without this call, a process uses a random key.
pub fn set_hash_key(secret: &[u8]) {
    let derived = sign(
        &Key::new(HMAC_SHA256, secret),
        b"addresses in the security log",
    );
    if let Ok(key) = derived.as_ref().try_into() {
        // The first call wins: a test may run several shops in one process.
        let _ = KEY.set(key);
    }
}

/// Logs the outcome of `result` and returns it; `user` extracts the account. Does not log errors of
/// limits, which are logged as [`Event::Limit`], or failures of the server.
pub fn record_result<T>(
    event: Event,
    result: AppResult<T>,
    user: impl FnOnce(&T) -> Option<UserId>,
) -> AppResult<T> {
    match &result {
        Ok(done) => record(event, Outcome::Done, user(done), ""),
        Err(
            AppError::TooManyRequests { .. } | AppError::Unavailable | AppError::Internal { .. },
        ) => {}
        Err(_) => record(event, Outcome::Failed, None, ""),
    }
    result
}

/// Logs one line about the current request. `what` adds details from a fixed vocabulary, or is empty.
pub fn record(event: Event, outcome: Outcome, user: Option<UserId>, what: &str) {
    if !may_log() {
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

/// Whether another line may be logged in this second, so that a flood of requests cannot fill the disk.
fn may_log() -> bool {
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

/// The hash of an address's network; `none` for the unspecified address.
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
    fn hashes_are_stable_per_network() {
        let hash = |address: &str| hashed(address.parse().unwrap());
        assert_eq!(hash("192.0.2.7"), hash("192.0.2.7"));
        assert_ne!(hash("192.0.2.7"), hash("192.0.2.8"));
        assert_eq!(hash("2001:db8::1"), hash("2001:db8::2"));
        assert_eq!(hash("192.0.2.7").len(), 16);
        assert_eq!(hash("0.0.0.0"), "none");
    }
}
