//! Known devices: browsers in which somebody has signed in to an account before. Wrong passwords
//! typed elsewhere do not slow down a sign-in from one of them.
//!
//! Owns the signed content of the device cookie; the cookie itself is set by the server's middleware. It
//! signs nobody in; it only decides which limit a password is counted against (`tries.rs`). It stops counting when the
//! account's epoch ends: with a new password, or after signing out everywhere.

use model::{Moment, ids::UserId};
use platform::{db::Db, fault::FaultResult, secrets::sealed};
use uuid::Uuid;

/// What each entry of the cookie begins with.
const FORMAT: &str = "SDD1";
/// Between the entries, one for each account.
const BETWEEN: char = '~';
/// A browser is known to so many accounts, those that signed in last.
const ACCOUNTS_MAX: usize = 4;
/// User, epoch, and what names this browser.
const SAID_BYTES: usize = 16 + 8 + 16;

/// What an entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    user: UserId,
    epoch: i64,
    /// Random; the same in all entries of one browser is not needed.
    device: Uuid,
}

impl Entry {
    fn said(&self) -> Vec<u8> {
        let mut said = Vec::with_capacity(SAID_BYTES);
        said.extend_from_slice(self.user.0.as_bytes());
        said.extend_from_slice(&self.epoch.to_be_bytes());
        said.extend_from_slice(self.device.as_bytes());
        said
    }

    fn read(said: &[u8]) -> Option<Self> {
        let (user, rest) = said.split_first_chunk::<16>()?;
        let (epoch, device) = rest.split_first_chunk::<8>()?;
        Some(Self {
            user: UserId(Uuid::from_bytes(*user)),
            epoch: i64::from_be_bytes(*epoch),
            device: Uuid::from_slice(device).ok()?,
        })
    }
}

/// What names this browser, if its cookie says that `user` has signed in there in this epoch.
pub(crate) async fn device_of(
    db: &Db,
    content: &str,
    user: UserId,
    epoch: i64,
) -> Result<Option<Uuid>, sqlx::Error> {
    for text in content.split(BETWEEN).take(ACCOUNTS_MAX) {
        let said = sealed::opened(db, FORMAT, text).await?;
        let entry = said.as_deref().and_then(Entry::read);
        if let Some(entry) = entry.filter(|entry| entry.user == user && entry.epoch == epoch) {
            return Ok(Some(entry.device));
        }
    }
    Ok(None)
}

/// The content that says, besides what `before` says of other accounts, that `user` has signed in
/// here in this epoch.
pub(crate) async fn content(
    db: &Db,
    before: Option<&str>,
    user: UserId,
    epoch: i64,
    now: Moment,
) -> FaultResult<String> {
    let entry = Entry {
        user,
        epoch,
        device: Uuid::new_v4(),
    };
    let mut entries = vec![sealed::seal(db, FORMAT, &entry.said(), now).await?];
    for text in before.unwrap_or_default().split(BETWEEN) {
        if entries.len() == ACCOUNTS_MAX {
            break;
        }
        let said = sealed::opened(db, FORMAT, text).await?;
        let other = said.as_deref().and_then(Entry::read);
        if other.is_some_and(|other| other.user != user) {
            entries.push(text.to_owned());
        }
    }
    Ok(entries.join(&BETWEEN.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_reads_as_it_was_written_and_nothing_else_is_one() {
        let entry = Entry {
            user: UserId(Uuid::now_v7()),
            epoch: 7,
            device: Uuid::new_v4(),
        };
        assert_eq!(Entry::read(&entry.said()), Some(entry));
        assert_eq!(Entry::read(&entry.said()[1..]), None);
        assert_eq!(Entry::read(b"nonsense"), None);
    }
}
