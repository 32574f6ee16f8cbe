//! Known devices: browsers in which somebody has signed in to an account before. Wrong passwords
//! typed elsewhere do not slow down a sign-in from one of them.
//!
//! Owns the device cookie: its name, its signed content, how long it lasts. It signs nobody in; it
//! only decides which limit a password is counted against (`tries.rs`). It stops counting when the
//! account's epoch ends: with a new password, or after signing out everywhere.

use crate::{db::Db, fault::FaultResult, secrets::sealed};
use axum::http::{HeaderMap, HeaderValue};
use model::{Moment, ids::UserId};
use tower_sessions::cookie::{Cookie, SameSite};
use uuid::Uuid;

/// What each entry of the cookie begins with.
const FORMAT: &str = "SDD1";
/// Between the entries, one for each account.
const BETWEEN: char = '~';
/// A browser is known to so many accounts, those that signed in last.
const ACCOUNTS_MAX: usize = 4;
/// Browsers keep no cookie for longer than 400 days.
const KEPT_DAYS: i64 = 400;
/// Far more than [`ACCOUNTS_MAX`] entries take.
const COOKIE_BYTES_MAX: usize = 2000;
/// User, epoch, and what names this browser.
const SAID_BYTES: usize = 16 + 8 + 16;

fn name(secure: bool) -> &'static str {
    if secure { "__Host-device" } else { "device" }
}

/// The content of the cookie that a browser sent.
pub fn sent(headers: &HeaderMap, secure: bool) -> Option<String> {
    context::sent_cookie(headers, name(secure)).filter(|content| content.len() <= COOKIE_BYTES_MAX)
}

/// The header that sets the cookie.
pub fn cookie(content: &str, secure: bool) -> Option<HeaderValue> {
    let cookie = Cookie::build((name(secure), content))
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(secure)
        .path("/")
        .max_age(time::Duration::days(KEPT_DAYS));
    HeaderValue::from_str(&cookie.to_string()).ok()
}

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
pub async fn device_of(
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
pub async fn content(
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
    use axum::http::header;

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

    #[test]
    fn over_tls_the_cookie_is_of_this_host_alone() {
        let secure = cookie("x", true).unwrap();
        for attribute in [
            "__Host-device=x",
            "Secure",
            "HttpOnly",
            "SameSite=Lax",
            "Path=/",
            "Max-Age=",
        ] {
            assert!(
                secure.to_str().unwrap().contains(attribute),
                "{attribute}: {secure:?}"
            );
        }
        let plain = cookie("x", false).unwrap();
        assert!(plain.to_str().unwrap().starts_with("device=x"));
        let mut headers = HeaderMap::new();
        headers.insert(
            header::COOKIE,
            HeaderValue::from_static("a=b; device=c~d; __Host-device=e"),
        );
        assert_eq!(sent(&headers, false).as_deref(), Some("c~d"));
        assert_eq!(sent(&headers, true).as_deref(), Some("e"));
        let long = format!("device={}", "x".repeat(3000));
        headers.insert(header::COOKIE, HeaderValue::from_str(&long).unwrap());
        assert_eq!(sent(&headers, false), None);
    }
}
