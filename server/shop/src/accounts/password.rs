//! Hashing passwords. This is slow on purpose, so it runs on blocking threads and needs a permit
//! (`hash_queue.rs`). It does not count attempts or store hashes.

use super::hash_queue::{HashPermit, HashQueue, Share};
use argon2::{
    ARGON2ID_IDENT, Argon2, Params,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use ipnet::IpNet;
use platform::fault::{Fault, FaultResult};
use std::sync::Arc;

const DUMMY_PASSWORD: &str = "no account has this password";

/// Hashes and verifies, a bounded number at once.
#[derive(Clone)]
pub(crate) struct Passwords {
    queue: Arc<HashQueue>,
    /// Verified where there is no account, so that an unknown address takes as long as a wrong password.
    dummy_hash: Arc<str>,
}

/// The result of comparing a password with a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verified {
    pub correct: bool,
    /// A hash by the current parameters, if the password is correct and its hash has other parameters.
    pub renewed: Option<String>,
}

impl Passwords {
    /// Runs one fewer at once than there are cores, so that one core keeps serving requests.
    pub(crate) fn new() -> FaultResult<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let dummy_hash = hash(DUMMY_PASSWORD)?;
        Ok(Self {
            queue: HashQueue::new(cores.saturating_sub(1).max(1)),
            dummy_hash: dummy_hash.into(),
        })
    }

    /// As [`HashQueue::acquire`].
    pub(crate) async fn acquire(&self, network: IpNet, share: Share) -> FaultResult<HashPermit> {
        Ok(self.queue.acquire(network, share).await?)
    }

    pub(crate) async fn hash(&self, permit: HashPermit, password: String) -> FaultResult<String> {
        with_permit(permit, move || hash(&password)).await?
    }

    /// Compares `password` with `hash`. Without a hash it is wrong, after the same amount of work.
    pub(crate) async fn verify(
        &self,
        permit: HashPermit,
        password: String,
        hash: Option<String>,
    ) -> FaultResult<Verified> {
        let dummy_hash = Arc::clone(&self.dummy_hash);
        with_permit(permit, move || match hash {
            Some(hash) => verify(&password, &hash),
            None => {
                matches(&password, &dummy_hash);
                Ok(Verified {
                    correct: false,
                    renewed: None,
                })
            }
        })
        .await?
    }
}

/// Releases the permit when the work ends, even if the caller has stopped waiting.
async fn with_permit<T: Send + 'static>(
    permit: HashPermit,
    work: impl FnOnce() -> T + Send + 'static,
) -> FaultResult<T> {
    let job = move || {
        let result = work();
        drop(permit);
        result
    };
    tokio::task::spawn_blocking(job)
        .await
        .map_err(|error| Fault::unexpected("Password hashing panicked", error))
}

fn verify(password: &str, stored: &str) -> FaultResult<Verified> {
    let correct = matches(password, stored);
    let renewed = if correct && is_outdated(stored) {
        Some(hash(password)?)
    } else {
        None
    };
    Ok(Verified { correct, renewed })
}

fn hash(password: &str) -> FaultResult<String> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| Fault::unexpected("Password could not be hashed", error))
}

fn matches(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok()
    })
}

/// Whether a hash has other parameters than those that [`hash`] uses.
fn is_outdated(hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else {
        return true;
    };
    let current = Params::default();
    let same = Params::try_from(&hash).is_ok_and(|params| {
        (params.m_cost(), params.t_cost(), params.p_cost())
            == (current.m_cost(), current.t_cost(), current.p_cost())
    });
    hash.algorithm.as_str() != ARGON2ID_IDENT.as_str() || !same
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::{Algorithm, Version};

    fn network() -> IpNet {
        IpNet::from(std::net::IpAddr::from([192, 0, 2, 1]))
    }

    async fn verify_in_queue(password: &str, hash: Option<&str>) -> Verified {
        let passwords = Passwords::new().unwrap();
        let permit = passwords.acquire(network(), Share::LIMITED).await.unwrap();
        let (password, hash) = (password.to_owned(), hash.map(str::to_owned));
        passwords.verify(permit, password, hash).await.unwrap()
    }

    #[tokio::test]
    async fn the_right_password_and_no_other() {
        let hash = hash("correct horse").unwrap();
        assert!(hash.starts_with("$argon2id$"));
        let right = verify_in_queue("correct horse", Some(&hash)).await;
        assert_eq!((right.correct, right.renewed), (true, None));
        assert!(!verify_in_queue("Correct horse", Some(&hash)).await.correct);
    }

    #[tokio::test]
    async fn without_a_hash_no_password_is_correct() {
        assert!(!verify_in_queue(DUMMY_PASSWORD, None).await.correct);
    }

    #[tokio::test]
    async fn a_hash_of_other_parameters_is_made_anew_where_the_password_is_right() {
        let params = Params::new(8 * 1024, 1, 1, None).unwrap();
        let before = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let before = before.hash_password(b"correct horse").unwrap().to_string();
        let right = verify_in_queue("correct horse", Some(&before)).await;
        let renewed = right.renewed.unwrap();
        assert!(right.correct && renewed != before);
        assert_eq!(
            verify_in_queue("correct horse", Some(&renewed))
                .await
                .renewed,
            None
        );
        assert_eq!(
            verify_in_queue("another horse", Some(&before))
                .await
                .renewed,
            None
        );
    }
}
