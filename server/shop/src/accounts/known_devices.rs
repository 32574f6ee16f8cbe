//! Known devices: browsers that have signed in to an account before. Wrong passwords from elsewhere do
//! not slow down a sign-in from one of them.
//!
//! Owns the signed content of the device cookie; the server's middleware sets the cookie. It does not
//! authenticate; it only decides which limit a password counts against (`attempts.rs`). An entry becomes
//! invalid with the account's epoch: after a new password, or after signing out everywhere.

use model::{Moment, ids::UserId};
use platform::{db::Db, fault::FaultResult, secrets::sealed};
use uuid::Uuid;

/// Format prefix of each entry.
const FORMAT: &str = "SDD1";
/// Separates the entries, one per account.
const SEPARATOR: char = '~';
/// The most recent sign-ins are kept.
const ACCOUNTS_MAX: usize = 4;
/// User, epoch and device id.
const PAYLOAD_BYTES: usize = 16 + 8 + 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    user: UserId,
    epoch: i64,
    /// Random; differs between the entries of one browser.
    device: Uuid,
}

impl Entry {
    fn to_payload(self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(PAYLOAD_BYTES);
        payload.extend_from_slice(self.user.0.as_bytes());
        payload.extend_from_slice(&self.epoch.to_be_bytes());
        payload.extend_from_slice(self.device.as_bytes());
        payload
    }

    fn from_payload(payload: &[u8]) -> Option<Self> {
        let (user, rest) = payload.split_first_chunk::<16>()?;
        let (epoch, device) = rest.split_first_chunk::<8>()?;
        Some(Self {
            user: UserId(Uuid::from_bytes(*user)),
            epoch: i64::from_be_bytes(*epoch),
            device: Uuid::from_slice(device).ok()?,
        })
    }
}

/// The device id in a cookie, if `user` has signed in with it in this epoch.
pub(crate) async fn find_device(
    db: &Db,
    cookie: &str,
    user: UserId,
    epoch: i64,
) -> Result<Option<Uuid>, sqlx::Error> {
    for text in cookie.split(SEPARATOR).take(ACCOUNTS_MAX) {
        let payload = sealed::open(db, FORMAT, text).await?;
        let entry = payload.as_deref().and_then(Entry::from_payload);
        if let Some(entry) = entry.filter(|entry| entry.user == user && entry.epoch == epoch) {
            return Ok(Some(entry.device));
        }
    }
    Ok(None)
}

/// The content of `cookie` with an entry for `user` in this epoch put first, before those of other
/// accounts.
pub(crate) async fn add_device(
    db: &Db,
    cookie: Option<&str>,
    user: UserId,
    epoch: i64,
    now: Moment,
) -> FaultResult<String> {
    let entry = Entry {
        user,
        epoch,
        device: Uuid::new_v4(),
    };
    let mut entries = vec![sealed::seal(db, FORMAT, &entry.to_payload(), now).await?];
    for text in cookie.unwrap_or_default().split(SEPARATOR) {
        if entries.len() == ACCOUNTS_MAX {
            break;
        }
        let payload = sealed::open(db, FORMAT, text).await?;
        let other = payload.as_deref().and_then(Entry::from_payload);
        if other.is_some_and(|other| other.user != user) {
            entries.push(text.to_owned());
        }
    }
    Ok(entries.join(&SEPARATOR.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_round_trips_and_other_payloads_are_rejected() {
        let entry = Entry {
            user: UserId(Uuid::now_v7()),
            epoch: 7,
            device: Uuid::new_v4(),
        };
        assert_eq!(Entry::from_payload(&entry.to_payload()), Some(entry));
        assert_eq!(Entry::from_payload(&entry.to_payload()[1..]), None);
        assert_eq!(Entry::from_payload(b"nonsense"), None);
    }
}
