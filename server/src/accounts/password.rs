//! Hashing passwords: slow on purpose, so never on the threads that answer requests, and only a
//! few at once.

use crate::fault::{Fault, FaultResult};
use app::error::AppError;
use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// How long somebody waits for their turn before they are told that we are busy.
const TURN_WAIT: Duration = Duration::from_secs(5);

/// Hashes and verifies, a bounded number at a time.
#[derive(Clone)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    /// The hash of nobody's password: verified where there is no account, so that an unknown
    /// address costs what a wrong password does.
    nobody: Arc<str>,
}

impl Passwords {
    /// As many at once as there are cores, less one to go on answering.
    pub fn new() -> FaultResult<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let nobody = hash("nobody's password")?;
        let turns = Semaphore::new(cores.saturating_sub(1).max(1));
        Ok(Self {
            turns: Arc::new(turns),
            nobody: nobody.into(),
        })
    }

    /// The hash to keep. Errors: `Unavailable` when too many wait.
    pub async fn hash(&self, password: String) -> FaultResult<String> {
        self.in_turn(move || hash(&password)).await?
    }

    /// Whether `password` is the one that was hashed; false, after the same work, if there is
    /// no hash.
    pub async fn verify(&self, password: String, hash: Option<String>) -> FaultResult<bool> {
        let nobody = Arc::clone(&self.nobody);
        self.in_turn(move || {
            let known = hash.is_some();
            let hash = hash.unwrap_or_else(|| nobody.to_string());
            known & matches(&password, &hash)
        })
        .await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> FaultResult<T> {
        let turn = tokio::time::timeout(TURN_WAIT, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(AppError::Unavailable.into());
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Fault::unexpected("hashing panicked", error))
    }
}

fn hash(password: &str) -> FaultResult<String> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| Fault::unexpected("a password could not be hashed", error))
}

fn matches(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_right_password_and_no_other() {
        let passwords = Passwords::new().unwrap();
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert!(
            passwords
                .verify("correct horse".to_owned(), Some(hash.clone()))
                .await
                .unwrap()
        );
        assert!(
            !passwords
                .verify("Correct horse".to_owned(), Some(hash))
                .await
                .unwrap()
        );
    }

    #[tokio::test]
    async fn nobody_has_no_password() {
        let passwords = Passwords::new().unwrap();
        assert!(
            !passwords
                .verify("nobody's password".to_owned(), None)
                .await
                .unwrap()
        );
    }
}
