//! The second factor: signing in with it, turning it on and off, recovery codes.
//!
//! Invariant: whoever has one gets no session by password or mailed link alone. A code is tried against
//! the limits that wrong passwords are counted by, before it is compared; it is used up in the
//! transaction of what it allows. What is a right code is `totp.rs`'s business, what is kept
//! `factors.rs`'s.

use super::{
    AccountsService, Standing,
    factors::{self, Factor},
    links, resets, rules, store,
    store::Locked,
    totp::{self, Shared},
    tries::Purpose,
};
use crate::{
    mail::{self, FactorChange, Kind},
    qr::qr,
};
use async_trait::async_trait;
use model::{
    Moment,
    accounts::{
        EnableSecondFactor, PendingSignIn, ProveSecondFactor, RecoveryCodes, SecondFactor,
        SecondFactorSetup, SecondFactorState, SignIn, SignInStep, User, Viewer,
    },
    error::{AppError, AppResult, Conflict, WRONG_CODE},
    ids::UserId,
    qr::Qr,
};
use platform::{
    clock::Clock,
    db::{Conn, Db},
    fault::{Fault, FaultResult},
    secrets::{encrypted, sealed},
    security::{self, Event, Outcome},
    session::Sessions,
};
use std::time::Duration;
use uuid::Uuid;

/// How long a sign-in waits for its code.
const PENDING: Duration = Duration::from_mins(10);
/// How long a setup can be used.
const SETUP: Duration = Duration::from_hours(1);
/// What the texts of sign-ins that wait for a code begin with.
const PENDING_FORMAT: &str = "SDS1";

/// A code that was right when it was looked at.
#[derive(Debug, Clone)]
pub(crate) struct Proof {
    user: UserId,
    /// The factor that it is of.
    secret: String,
    given: Given,
}

#[derive(Debug, Clone)]
enum Given {
    /// The app's, of these 30 seconds.
    Step(i64),
    /// A recovery code, by its hash.
    Recovery(String),
}

fn purpose_kept(user: UserId) -> String {
    format!("second factor of {user}")
}

fn purpose_setup(user: UserId) -> String {
    format!("setup of a second factor of {user}")
}

/// Prefixes a content with the moment in which it expires, for a token that the browser keeps.
fn until(said: &[u8], ends_at: Moment) -> Vec<u8> {
    [ends_at.micros().to_be_bytes().as_slice(), said].concat()
}

/// The content of such a token, if it has not expired.
fn still(text: &[u8], now: Moment) -> Option<&[u8]> {
    let (ends_at, said) = text.split_first_chunk::<8>()?;
    (Moment::from_micros(i64::from_be_bytes(*ends_at)) > now).then_some(said)
}

fn wrong_code(user: UserId) -> AppError {
    security::record(Event::SecondFactorProof, Outcome::Failed, Some(user), "");
    AppError::invalid("code", WRONG_CODE)
}

impl AccountsService {
    /// Identifies which of the account's codes this is; none if it matches none. Whether it was used before
    /// is decided when it is taken.
    async fn recognise(
        &self,
        user: UserId,
        factor: &Factor,
        code: &str,
    ) -> FaultResult<Option<Proof>> {
        let given = if let Some(hash) = totp::recovery_hash(code) {
            Some(Given::Recovery(hash))
        } else {
            let secret = encrypted::decrypt(&self.db, &purpose_kept(user), &factor.secret).await?;
            let secret = secret.and_then(|secret| Shared::try_from(secret).ok());
            if secret.is_none() {
                // Its key was deleted. Recovery codes still work, and an operator can reset it.
                tracing::error!(%user, "a second factor cannot be decrypted");
            }
            let now = self.clock.now();
            secret
                .and_then(|secret| totp::step(secret, code, now))
                .map(Given::Step)
        };
        Ok(given.map(|given| Proof {
            user,
            secret: factor.secret.clone(),
            given,
        }))
    }

    /// The proof that `code` is, where the account has a second factor; `None` where it has not.
    /// The caller uses it up ([`proof_take`]) and then calls [`Self::code_was_right`].
    ///
    /// Errors: `SecondFactorRequired`, `TooManyRequests`.
    pub(crate) async fn code_for(
        &self,
        found: &Locked,
        code: Option<&str>,
    ) -> FaultResult<Option<(Proof, Tries)>> {
        let user = found.user.id;
        let Some(factor) = factors::factor_find(self.db.reads(), user).await? else {
            return Ok(None);
        };
        let Some(code) = code.filter(|code| !code.trim().is_empty()) else {
            return Err(AppError::SecondFactorRequired { wrong: false }.into());
        };
        let tries = Tries(self.count_code(found).await?);
        match self.recognise(user, &factor, code).await? {
            Some(proof) => Ok(Some((proof, tries))),
            None => Err(refused(user)),
        }
    }

    /// Gives back what a code that was right was counted against.
    pub(crate) async fn code_was_right(&self, tries: Tries) {
        self.limits.give_back(&tries.0).await;
    }

    /// Asks for a code, where the account has a second factor, and uses it up.
    pub(crate) async fn pass_second_factor(
        &self,
        found: &Locked,
        code: Option<&str>,
    ) -> FaultResult<()> {
        let Some((proof, tries)) = self.code_for(found, code).await? else {
            return Ok(());
        };
        let (user, now) = (found.user.id, self.clock.now());
        let taken: Result<bool, sqlx::Error> = self
            .db
            .write(move |conn| Box::pin(async move { proof_take(conn, &proof, now).await }))
            .await;
        if !taken? {
            return Err(refused(user));
        }
        self.code_was_right(tries).await;
        Ok(())
    }

    async fn sign_in_pending(&self, pending: &PendingSignIn) -> FaultResult<Option<Locked>> {
        let said = sealed::opened(&self.db, PENDING_FORMAT, &pending.0).await?;
        let now = self.clock.now();
        let named = said.as_deref().and_then(|said| still(said, now));
        let named = named.and_then(|said| {
            let (user, epoch) = said.split_first_chunk::<16>()?;
            let epoch = i64::from_be_bytes(epoch.try_into().ok()?);
            Some((UserId(Uuid::from_bytes(*user)), epoch))
        });
        let Some((user, epoch)) = named else {
            return Ok(None);
        };
        let found = store::user_find_locked(self.db.reads(), user).await?;
        Ok(found.filter(|found| found.epoch == epoch))
    }

    async fn begin_in_two_steps(&self, request: SignIn) -> FaultResult<SignInStep> {
        let found = self.identify(request).await?;
        let (user, now) = (found.user.id, self.clock.now());
        if factors::factor_find(self.db.reads(), user).await?.is_none() {
            self.bind_session(user, found.epoch).await?;
            security::record(Event::SignIn, Outcome::Done, Some(user), "");
            return Ok(SignInStep::Done(found.user));
        }
        let said = [user.0.as_bytes().as_slice(), &found.epoch.to_be_bytes()].concat();
        let said = until(&said, now + PENDING);
        let pending = sealed::seal(&self.db, PENDING_FORMAT, &said, now).await?;
        Ok(SignInStep::Code(PendingSignIn(pending)))
    }

    async fn setup(
        &self,
        viewer: &Viewer,
        before: Option<String>,
    ) -> FaultResult<(SecondFactorSetup, Qr)> {
        let (user, now) = (viewer.user.id, self.clock.now());
        let kept = match before {
            Some(text) => self.opened_setup(user, &text).await?.zip(Some(text)),
            None => None,
        };
        let (secret, setup) = match kept {
            Some(kept) => kept,
            None => {
                let secret = totp::new_secret();
                let said = until(&secret, now + SETUP);
                let setup = encrypted::encrypt(&self.db, &purpose_setup(user), &said, now).await?;
                (secret, setup)
            }
        };
        let uri = totp::uri(secret, &viewer.user.email, &self.public_url);
        let code = qr(&uri).map_err(|error| Fault::unexpected("no QR code was made", error))?;
        let secret = totp::base32(secret);
        Ok((SecondFactorSetup { setup, secret, uri }, code))
    }

    async fn opened_setup(&self, user: UserId, text: &str) -> FaultResult<Option<Shared>> {
        let said = encrypted::decrypt(&self.db, &purpose_setup(user), text).await?;
        let now = self.clock.now();
        let secret = said.as_deref().and_then(|said| still(said, now));
        Ok(secret.and_then(|secret| secret.try_into().ok()))
    }

    async fn turn_on(
        &self,
        viewer: &Viewer,
        request: EnableSecondFactor,
    ) -> FaultResult<RecoveryCodes> {
        let (user, now) = (viewer.user.id, self.clock.now());
        let own = self.own(viewer).await?;
        if !own.has_password() {
            let message = "Set a password first. Two-step sign-in asks for a code in addition to the password.";
            return Err(AppError::invalid("password", message).into());
        }
        rules::check_second_factor(&request.password, &request.code)?;
        let Some(secret) = self.opened_setup(user, &request.setup).await? else {
            let message = "This setup is too old. Scan the new code, and try again.";
            return Err(AppError::invalid("setup", message).into());
        };
        let found = self.proved(viewer, request.password, "password").await?;
        let step = totp::step(secret, &request.code, now).ok_or_else(|| wrong_code(user))?;
        let sealed = encrypted::encrypt(&self.db, &purpose_kept(user), &secret, now).await?;
        let (codes, hashes) = new_codes();
        let epoch = self
            .db
            .write(move |conn| {
                Box::pin(async move {
                    if !store::user_lock(conn, user, Some(&found.password_hash)).await? {
                        return Err(rules::wrong_password("password").into());
                    }
                    if !factors::factor_insert(conn, user, &sealed, step, now).await? {
                        return Err(Conflict::SecondFactorOn.into());
                    }
                    factors::recovery_replace(conn, user, &hashes).await?;
                    resets::resets_end(conn, user).await?;
                    queue_notice(conn, user, FactorChange::On, now).await?;
                    let epoch = store::epoch_begin(conn, user).await?;
                    Ok::<_, Fault>(epoch.ok_or(AppError::SignInRequired)?)
                })
            })
            .await?;
        self.stay_alone(user, epoch).await?;
        Ok(codes)
    }

    /// The proof that is asked for before something about the factor is changed. Errors: `Invalid` at
    /// `password` or `code`, `SecondFactorOff`, `TooManyRequests`.
    async fn proved_both(&self, viewer: &Viewer, request: ProveSecondFactor) -> FaultResult<Both> {
        rules::check_second_factor(&request.password, &request.code)?;
        let user = viewer.user.id;
        let factor = factors::factor_find(self.db.reads(), user).await?;
        let factor = factor.ok_or(Conflict::SecondFactorOff)?;
        let found = self.proved(viewer, request.password, "password").await?;
        let counted = self.count_try(Purpose::Proof(user), None).await?;
        let Some(proof) = self.recognise(user, &factor, &request.code).await? else {
            return Err(wrong_code(user).into());
        };
        let (password_hash, tries) = (found.password_hash, Tries(counted));
        Ok(Both {
            password_hash,
            proof,
            tries,
        })
    }

    async fn renew(
        &self,
        viewer: &Viewer,
        request: ProveSecondFactor,
    ) -> FaultResult<RecoveryCodes> {
        let both = self.proved_both(viewer, request).await?;
        let (user, now) = (viewer.user.id, self.clock.now());
        let (codes, hashes) = new_codes();
        let tries = both.tries.clone();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    both.take(conn, now).await?;
                    factors::recovery_replace(conn, user, &hashes).await?;
                    Ok::<_, Fault>(queue_notice(conn, user, FactorChange::Codes, now).await?)
                })
            })
            .await?;
        self.code_was_right(tries).await;
        Ok(codes)
    }

    async fn turn_off(&self, viewer: &Viewer, request: ProveSecondFactor) -> FaultResult<()> {
        let both = self.proved_both(viewer, request).await?;
        let (user, now) = (viewer.user.id, self.clock.now());
        let tries = both.tries.clone();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    both.take(conn, now).await?;
                    if !factors::factor_delete(conn, user).await? {
                        return Err(Conflict::SecondFactorOff.into());
                    }
                    Ok::<_, Fault>(queue_notice(conn, user, FactorChange::Off, now).await?)
                })
            })
            .await?;
        self.code_was_right(tries).await;
        Ok(())
    }

    async fn state_of(&self, viewer: &Viewer) -> FaultResult<SecondFactorState> {
        let user = viewer.user.id;
        let factor = factors::factor_find(self.db.reads(), user).await?;
        let standing = self.operators.standing(self.db.reads(), user).await?;
        Ok(SecondFactorState {
            enabled_at: factor.as_ref().map(|factor| factor.enabled_at.timestamp()),
            recovery_codes_left: factor.map_or(0, |factor| factor.codes_left),
            required: self.operators.need_second_factor && standing != Standing::Member,
        })
    }
}

/// What a code was counted against.
#[derive(Debug, Clone)]
pub(crate) struct Tries(Vec<platform::limits::Key>);

/// A password and a code that were right when they were looked at.
struct Both {
    password_hash: String,
    proof: Proof,
    tries: Tries,
}

impl Both {
    /// Asserts that they still are, and uses the code up.
    async fn take(&self, conn: &mut Conn, now: Moment) -> FaultResult<()> {
        if !store::user_lock(conn, self.proof.user, Some(&self.password_hash)).await? {
            return Err(rules::wrong_password("password").into());
        }
        if !proof_take(conn, &self.proof, now).await? {
            return Err(wrong_code(self.proof.user).into());
        }
        Ok(())
    }
}

pub(crate) fn refused(user: UserId) -> Fault {
    security::record(Event::SecondFactorProof, Outcome::Failed, Some(user), "");
    AppError::SecondFactorRequired { wrong: true }.into()
}

fn new_codes() -> (RecoveryCodes, Vec<String>) {
    let codes = totp::new_recovery_codes();
    let hashes = codes.iter().filter_map(|code| totp::recovery_hash(code));
    let hashes = hashes.collect();
    (
        RecoveryCodes {
            recovery_codes: codes,
        },
        hashes,
    )
}

/// Uses a code up. False: another was quicker, or the factor is another by now.
pub(crate) async fn proof_take(
    conn: &mut Conn,
    proof: &Proof,
    now: Moment,
) -> Result<bool, sqlx::Error> {
    match &proof.given {
        Given::Step(step) => factors::step_take(conn, proof.user, &proof.secret, *step).await,
        Given::Recovery(hash) => {
            let taken = factors::recovery_take(conn, proof.user, hash, now).await?;
            if taken {
                queue_notice(conn, proof.user, FactorChange::CodeUsed, now).await?;
            }
            Ok(taken)
        }
    }
}

/// Queues the mail about the change, in case the owner did not make it.
async fn queue_notice(
    conn: &mut Conn,
    user: UserId,
    change: FactorChange,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let subject = mail::factor_changed(user, change, now);
    links::queue_rarely_to(conn, Kind::SecondFactorChanged, subject, user, now).await
}

/// Deletes the second factor of the account with this address and ends its sessions, on the word of
/// whoever has the database. Returns the account, and whether it had one. None: there is no account.
pub async fn reset_second_factor_of(
    db: &Db,
    clock: &dyn Clock,
    sessions: &dyn Sessions,
    email: &str,
) -> FaultResult<Option<(User, bool)>> {
    let found = store::user_find_by_email(db.reads(), &rules::email_key(email)).await?;
    let Some(Locked { user, .. }) = found else {
        return Ok(None);
    };
    let (id, now) = (user.id, clock.now());
    let epoch: Option<i64> = db
        .write(move |conn| {
            Box::pin(async move {
                if !factors::factor_delete(conn, id).await? {
                    return Ok(None);
                }
                queue_notice(conn, id, FactorChange::Reset, now).await?;
                store::epoch_begin(conn, id).await
            })
        })
        .await?;
    if let Some(epoch) = epoch {
        sessions.end_before(id, epoch).await?;
        security::record(
            Event::SecondFactorReset,
            Outcome::Done,
            Some(id),
            "by an operator's command",
        );
    }
    Ok(Some((user, epoch.is_some())))
}

#[async_trait]
impl SecondFactor for AccountsService {
    async fn begin_sign_in(&self, request: SignIn) -> AppResult<SignInStep> {
        Ok(self.begin_in_two_steps(request).await?)
    }

    async fn pending(&self, pending: &PendingSignIn) -> AppResult<Option<String>> {
        let found = self.sign_in_pending(pending).await?;
        Ok(found.map(|found| found.user.email))
    }

    async fn finish_sign_in(&self, pending: PendingSignIn, code: String) -> AppResult<User> {
        let found = self.sign_in_pending(&pending).await?;
        let found = found.ok_or(AppError::SignInRequired)?;
        self.pass_second_factor(&found, Some(&code)).await?;
        self.bind_session(found.user.id, found.epoch).await?;
        security::record(Event::SignIn, Outcome::Done, Some(found.user.id), "");
        Ok(found.user)
    }

    async fn state(&self, viewer: &Viewer) -> AppResult<SecondFactorState> {
        Ok(self.state_of(viewer).await?)
    }

    async fn begin_setup(
        &self,
        viewer: &Viewer,
        before: Option<String>,
    ) -> AppResult<(SecondFactorSetup, Qr)> {
        Ok(self.setup(viewer, before).await?)
    }

    async fn enable(
        &self,
        viewer: &Viewer,
        request: EnableSecondFactor,
    ) -> AppResult<RecoveryCodes> {
        let on = self.turn_on(viewer, request).await.map_err(AppError::from);
        security::record_result(Event::SecondFactorOn, on, |_| Some(viewer.user.id))
    }

    async fn renew_codes(
        &self,
        viewer: &Viewer,
        request: ProveSecondFactor,
    ) -> AppResult<RecoveryCodes> {
        let renewed = self.renew(viewer, request).await.map_err(AppError::from);
        security::record_result(Event::RecoveryCodes, renewed, |_| Some(viewer.user.id))
    }

    async fn disable(&self, viewer: &Viewer, request: ProveSecondFactor) -> AppResult<()> {
        let off = self.turn_off(viewer, request).await.map_err(AppError::from);
        security::record_result(Event::SecondFactorOff, off, |()| Some(viewer.user.id))
    }
}
