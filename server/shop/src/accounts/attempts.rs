//! Which limits an attempt with a password or code counts against, and comparing passwords.
//!
//! Invariant: an attempt is counted before the password is hashed, and uncounted if the password was
//! correct, so that concurrent attempts cannot exceed a limit. Wrong passwords from other networks never
//! lock an owner out: limits are per account and network, a known device has its own limit, and beyond
//! the limit of a whole account attempts are slowed down, not refused. The numbers are in
//! `platform::limits`.

use super::{
    AccountsService,
    hash_queue::{HashPermit, Share},
    known_devices,
    rules::email_key,
    store::{self, Account},
};
use model::{accounts::Password, error::AppResult, ids::UserId};
use platform::{
    fault::{Fault, FaultResult, chain},
    limits::Key,
    request, session,
};

/// What a password is checked for.
#[derive(Debug, Clone)]
pub(super) enum Purpose {
    /// Signing in to the account of the address with this key.
    SignIn(String),
    /// Proving, in a session, that the user owns this account.
    Proof(UserId),
}

impl AccountsService {
    /// Waits for a permit to hash a password for the network of this request.
    async fn hash_permit(&self) -> FaultResult<HashPermit> {
        let share = if self.limits.are_on() {
            Share::LIMITED
        } else {
            Share::UNLIMITED
        };
        self.passwords.acquire(request::network(), share).await
    }

    pub(crate) async fn hash(&self, password: Password) -> FaultResult<String> {
        let permit = self.hash_permit().await?;
        self.passwords.hash(permit, password.0).await
    }

    /// Whether `password` is the account's; false without an account. Errors: `TooManyRequests`,
    /// `Unavailable`.
    pub(super) async fn verify_password(
        &self,
        purpose: Purpose,
        password: Password,
        account: Option<&Account>,
    ) -> FaultResult<bool> {
        let member = account.filter(|account| account.has_password());
        let hash = member.map(|account| account.password_hash.clone());
        let permit = self.hash_permit().await?;
        let counted = self.count_attempt(purpose, account).await?;
        let verified = self.passwords.verify(permit, password.0, hash).await?;
        if verified.correct {
            self.limits.give_back(&counted).await;
        }
        if let (Some(renewed), Some(account)) = (verified.renewed, account) {
            self.renew_hash(account, renewed).await;
        }
        Ok(verified.correct)
    }

    /// Counts an attempt. Returns the limits that it was counted against.
    pub(super) async fn count_attempt(
        &self,
        purpose: Purpose,
        account: Option<&Account>,
    ) -> FaultResult<Vec<Key>> {
        let network = request::network();
        let email_key = match purpose {
            Purpose::Proof(user) => {
                let session = request::session().as_ref().and_then(session::public_id);
                let session = session.map_or_else(|| user.to_string(), |id| id.to_string());
                return self.count_all(vec![Key::WrongProofIn(session)]).await;
            }
            Purpose::SignIn(email_key) => email_key,
        };
        self.limits
            .take(&Key::SignInOfFrom(email_key.clone(), network))
            .await?;
        if let Some(device) = self.known_device(account).await? {
            return self.count_all(vec![Key::WrongPasswordOn(device)]).await;
        }
        let here = vec![
            Key::WrongPasswordFrom(network),
            Key::WrongPasswordOfFrom(email_key.clone(), network),
        ];
        let mut counted = self.count_all(here).await?;
        match self.count_account_attempt(email_key).await {
            Ok(key) => counted.push(key),
            Err(refused) => {
                self.limits.give_back(&counted).await;
                return Err(refused.into());
            }
        }
        Ok(counted)
    }

    /// Counts a code before it is compared. In addition to the limits for wrong passwords there is a limit
    /// per account over all networks, because a six-digit code needs far fewer guesses than a password.
    /// Known devices have their own limit.
    pub(super) async fn count_code(&self, account: &Account) -> FaultResult<Vec<Key>> {
        if let Some(device) = self.known_device(Some(account)).await? {
            return self.count_all(vec![Key::WrongPasswordOn(device)]).await;
        }
        let (email_key, network) = (email_key(&account.user.email), request::network());
        let keys = vec![
            Key::WrongPasswordFrom(network),
            Key::WrongPasswordOfFrom(email_key.clone(), network),
            Key::WrongCodeOf(email_key),
        ];
        self.count_all(keys).await
    }

    async fn count_all(&self, keys: Vec<Key>) -> FaultResult<Vec<Key>> {
        self.limits.take_all(&keys).await?;
        Ok(keys)
    }

    /// Counts an attempt for an account over all networks. Beyond that limit, attempts are slowed down.
    async fn count_account_attempt(&self, email_key: String) -> AppResult<Key> {
        let anywhere = Key::WrongPasswordOf(email_key.clone());
        if self.limits.take(&anywhere).await.is_ok() {
            return Ok(anywhere);
        }
        let slow = Key::SlowPasswordOf(email_key);
        self.limits.take(&slow).await?;
        Ok(slow)
    }

    /// The id of this request's browser, if it is a known device of the account.
    async fn known_device(&self, account: Option<&Account>) -> FaultResult<Option<String>> {
        let (Some(cookie), Some(account)) = (request::device_cookie(), account) else {
            return Ok(None);
        };
        let device =
            known_devices::find_device(&self.db, &cookie, account.user.id, account.epoch).await?;
        Ok(device.map(|device| device.to_string()))
    }

    /// Makes this request's browser a known device of the account. If this fails, it remains unknown.
    pub(super) async fn remember_device(&self, user: UserId, epoch: i64) {
        if request::session().is_none() {
            return;
        }
        let cookie = request::device_cookie();
        let now = self.clock.now();
        match known_devices::add_device(&self.db, cookie.as_deref(), user, epoch, now).await {
            Ok(cookie) => request::set_device_cookie(cookie),
            Err(fault) => {
                tracing::warn!(error = chain(&fault), "Device was not remembered");
            }
        }
    }

    /// Replaces a hash with one of the same password by the current parameters. If this fails, the sign-in
    /// still succeeds and the next one tries again.
    async fn renew_hash(&self, account: &Account, renewed: String) {
        let (id, before) = (account.user.id, account.password_hash.clone());
        let written: FaultResult<bool> = self
            .db
            .write(move |conn| {
                Box::pin(async move {
                    store::renew_hash(conn, id, &before, &renewed)
                        .await
                        .map_err(Fault::from)
                })
            })
            .await;
        if let Err(fault) = written {
            tracing::warn!(error = chain(&fault), "Password hash was not renewed");
        }
    }
}
