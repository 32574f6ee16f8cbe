//! Which limits a password is counted against, and comparing it with the account's.
//!
//! Invariant: a try is counted before the password is hashed and given back if it was right, so that
//! many at once cannot pass a limit. Wrong passwords from elsewhere never lock an owner out: limits go
//! by account and network, a known device has one of its own, and beyond the limit of an account as a
//! whole tries are slowed down, not refused. It does not know how often is too often (`limits.rs`).

use super::{
    AccountsService, known,
    rules::email_key,
    store::{self, Locked},
    turns::{Share, Turn},
};
use model::{accounts::Password, error::AppResult, ids::UserId};
use platform::{
    fault::{Fault, FaultResult, chain},
    limits::Key,
    request, session,
};

/// What a password is for.
#[derive(Debug, Clone)]
pub(super) enum Purpose {
    /// Signing in to the account of the address with this key.
    SignIn(String),
    /// Proving in a session that one is this account's owner.
    Proof(UserId),
}

impl AccountsService {
    /// Waits for a turn to hash a password for the network of this request.
    pub(super) async fn turn(&self) -> FaultResult<Turn> {
        let share = if self.limits.are_on() {
            Share::LIMITED
        } else {
            Share::UNLIMITED
        };
        self.passwords.turn(request::network(), share).await
    }

    /// The hash of a new password.
    pub(crate) async fn hash(&self, password: Password) -> FaultResult<String> {
        let turn = self.turn().await?;
        self.passwords.hash(turn, password.0).await
    }

    /// Whether `password` is the account's. Errors: `TooManyRequests`.
    pub(super) async fn knows(
        &self,
        purpose: Purpose,
        password: Password,
        found: Option<&Locked>,
    ) -> FaultResult<bool> {
        let with_password = found.filter(|found| found.has_password());
        let hash = with_password.map(|found| found.password_hash.clone());
        let turn = self.turn().await?;
        let counted = self.count_try(purpose, found).await?;
        let verified = self.passwords.verify(turn, password.0, hash).await?;
        if verified.right {
            self.limits.give_back(&counted).await;
        }
        if let (Some(renewed), Some(found)) = (verified.renewed, found) {
            self.renew_hash(found, renewed).await;
        }
        Ok(verified.right)
    }

    /// Counts a try. Returns what it was counted against.
    pub(super) async fn count_try(
        &self,
        purpose: Purpose,
        found: Option<&Locked>,
    ) -> FaultResult<Vec<Key>> {
        let network = request::network();
        let account = match purpose {
            Purpose::Proof(user) => {
                let session = request::session().as_ref().and_then(session::name);
                let named = session.map_or_else(|| user.to_string(), |id| id.to_string());
                return self.count_all(vec![Key::WrongProofIn(named)]).await;
            }
            Purpose::SignIn(account) => account,
        };
        self.limits
            .take(&Key::SignInOfFrom(account.clone(), network))
            .await?;
        if let Some(device) = self.known_device(found).await? {
            return self.count_all(vec![Key::WrongPasswordOn(device)]).await;
        }
        let here = vec![
            Key::WrongPasswordFrom(network),
            Key::WrongPasswordOfFrom(account.clone(), network),
        ];
        let mut counted = self.count_all(here).await?;
        match self.count_anywhere(account).await {
            Ok(key) => counted.push(key),
            Err(refused) => {
                self.limits.give_back(&counted).await;
                return Err(refused.into());
            }
        }
        Ok(counted)
    }

    /// Counts a second-factor code before it is compared. Besides the limits for wrong passwords there is one
    /// limit per account over all networks, because a six-digit code needs far fewer guesses than a
    /// password. Known devices have a limit of their own.
    pub(super) async fn count_code(&self, found: &Locked) -> FaultResult<Vec<Key>> {
        if let Some(device) = self.known_device(Some(found)).await? {
            return self.count_all(vec![Key::WrongPasswordOn(device)]).await;
        }
        let (account, network) = (email_key(&found.user.email), request::network());
        let keys = vec![
            Key::WrongPasswordFrom(network),
            Key::WrongPasswordOfFrom(account.clone(), network),
            Key::WrongCodeOf(account),
        ];
        self.count_all(keys).await
    }

    async fn count_all(&self, keys: Vec<Key>) -> FaultResult<Vec<Key>> {
        self.limits.take_all(&keys).await?;
        Ok(keys)
    }

    /// Counts a try for an account, wherever it comes from; when there were too many, one at a time.
    async fn count_anywhere(&self, account: String) -> AppResult<Key> {
        let anywhere = Key::WrongPasswordOf(account.clone());
        if self.limits.take(&anywhere).await.is_ok() {
            return Ok(anywhere);
        }
        let slow = Key::SlowPasswordOf(account);
        self.limits.take(&slow).await?;
        Ok(slow)
    }

    /// What names the browser of this request, if the account knows it.
    async fn known_device(&self, found: Option<&Locked>) -> FaultResult<Option<String>> {
        let (Some(content), Some(found)) = (request::device_cookie(), found) else {
            return Ok(None);
        };
        let device = known::device_of(&self.db, &content, found.user.id, found.epoch).await?;
        Ok(device.map(|device| device.to_string()))
    }

    /// From now on the account knows the browser of this request. Failing that, the browser counts
    /// like any other.
    pub(super) async fn remember_device(&self, user: UserId, epoch: i64) {
        if request::session().is_none() {
            return;
        }
        let before = request::device_cookie();
        let now = self.clock.now();
        match known::content(&self.db, before.as_deref(), user, epoch, now).await {
            Ok(content) => request::set_device_cookie(content),
            Err(fault) => {
                tracing::warn!(error = chain(&fault), "a device was not remembered");
            }
        }
    }

    /// Replaces a hash by one that the present parameters made of the same password. Nobody is
    /// refused where that fails: the next sign-in does it.
    async fn renew_hash(&self, found: &Locked, renewed: String) {
        let (id, before) = (found.user.id, found.password_hash.clone());
        let written: FaultResult<bool> = self
            .db
            .write(move |conn| {
                Box::pin(async move {
                    store::hash_renew(conn, id, &before, &renewed)
                        .await
                        .map_err(Fault::from)
                })
            })
            .await;
        if let Err(fault) = written {
            tracing::warn!(error = chain(&fault), "a password's hash was not renewed");
        }
    }
}
