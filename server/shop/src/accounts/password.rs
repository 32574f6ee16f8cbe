//! Hashing passwords: slow on purpose, so never on the threads that answer requests, and only in a
//! turn (`turns.rs`). It counts no tries and keeps no hash.

use super::turns::{Share, Turn, Turns};
use argon2::{
    ARGON2ID_IDENT, Argon2, Params,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use ipnet::IpNet;
use platform::fault::{Fault, FaultResult};
use std::sync::Arc;

/// Hashes and verifies, a bounded number at a time.
#[derive(Clone)]
pub(crate) struct Passwords {
    turns: Arc<Turns>,
    /// The hash of nobody's password: verified where there is no account, so that an unknown
    /// address costs what a wrong password does.
    nobody: Arc<str>,
}

/// What came of comparing a password with a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verified {
    /// Whether it is the one that was hashed.
    pub right: bool,
    /// Its hash by the present parameters, if it is right and the one before was made by others.
    pub renewed: Option<String>,
}

impl Passwords {
    /// As many at once as there are cores, less one to go on answering.
    pub(crate) fn new() -> FaultResult<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let nobody = hash("nobody's password")?;
        Ok(Self {
            turns: Turns::new(cores.saturating_sub(1).max(1)),
            nobody: nobody.into(),
        })
    }

    /// Waits for a turn to hash something for `network`. Errors: as [`Turns::take`].
    pub(crate) async fn turn(&self, network: IpNet, share: Share) -> FaultResult<Turn> {
        Ok(self.turns.take(network, share).await?)
    }

    /// The hash to keep.
    pub(crate) async fn hash(&self, turn: Turn, password: String) -> FaultResult<String> {
        in_turn(turn, move || hash(&password)).await?
    }

    /// Compares `password` with `hash`; where there is none it is wrong, after the same work.
    pub(crate) async fn verify(
        &self,
        turn: Turn,
        password: String,
        hash: Option<String>,
    ) -> FaultResult<Verified> {
        let nobody = Arc::clone(&self.nobody);
        in_turn(turn, move || match hash {
            Some(hash) => verified(&password, &hash),
            None => {
                matches(&password, &nobody);
                Ok(Verified {
                    right: false,
                    renewed: None,
                })
            }
        })
        .await?
    }
}

/// The turn ends with the work, even if nobody waits for that any more.
async fn in_turn<T: Send + 'static>(
    turn: Turn,
    work: impl FnOnce() -> T + Send + 'static,
) -> FaultResult<T> {
    let working = move || {
        let done = work();
        drop(turn);
        done
    };
    tokio::task::spawn_blocking(working)
        .await
        .map_err(|error| Fault::unexpected("hashing panicked", error))
}

fn verified(password: &str, kept: &str) -> FaultResult<Verified> {
    let right = matches(password, kept);
    let renewed = if right && is_outdated(kept) {
        Some(hash(password)?)
    } else {
        None
    };
    Ok(Verified { right, renewed })
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

/// Whether a hash was made by other parameters than those that [`hash`] uses.
fn is_outdated(hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else {
        return true;
    };
    let present = Params::default();
    let same = Params::try_from(&hash).is_ok_and(|params| {
        (params.m_cost(), params.t_cost(), params.p_cost())
            == (present.m_cost(), present.t_cost(), present.p_cost())
    });
    hash.algorithm.as_str() != ARGON2ID_IDENT.as_str() || !same
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::{Algorithm, Version};

    fn nowhere() -> IpNet {
        IpNet::from(std::net::IpAddr::from([192, 0, 2, 1]))
    }

    async fn verify(password: &str, hash: Option<&str>) -> Verified {
        let passwords = Passwords::new().unwrap();
        let turn = passwords.turn(nowhere(), Share::LIMITED).await.unwrap();
        let (password, hash) = (password.to_owned(), hash.map(str::to_owned));
        passwords.verify(turn, password, hash).await.unwrap()
    }

    #[tokio::test]
    async fn the_right_password_and_no_other() {
        let hash = hash("correct horse").unwrap();
        assert!(hash.starts_with("$argon2id$"));
        let right = verify("correct horse", Some(&hash)).await;
        assert_eq!((right.right, right.renewed), (true, None));
        assert!(!verify("Correct horse", Some(&hash)).await.right);
    }

    #[tokio::test]
    async fn nobody_has_no_password() {
        assert!(!verify("nobody's password", None).await.right);
    }

    #[tokio::test]
    async fn a_hash_of_other_parameters_is_made_anew_where_the_password_is_right() {
        let params = Params::new(8 * 1024, 1, 1, None).unwrap();
        let before = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let before = before.hash_password(b"correct horse").unwrap().to_string();
        let right = verify("correct horse", Some(&before)).await;
        let renewed = right.renewed.unwrap();
        assert!(right.right && renewed != before);
        assert_eq!(verify("correct horse", Some(&renewed)).await.renewed, None);
        assert_eq!(verify("another horse", Some(&before)).await.renewed, None);
    }
}
