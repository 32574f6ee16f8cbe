//! The second factor: signing in with it, turning it on and off, recovery codes.
//!
//! Invariant: an account with a second factor gets no session by password or mailed link alone. A code
//! counts against the limits for wrong passwords before it is compared, and is consumed in the
//! transaction of the operation that it authorises. `totp.rs` computes codes; the SQL is in
//! `factors.rs`.

use super::{
    AccountsService, OperatorStatus,
    attempts::Purpose,
    factors::{self, Factor},
    links, resets, rules, store,
    store::Account,
    totp::{self, Shared},
};
use crate::{
    mail::{self, Kind, subjects::FactorChange},
    qr,
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

/// How long a pending sign-in accepts codes.
const PENDING_VALID_FOR: Duration = Duration::from_mins(10);
const SETUP_VALID_FOR: Duration = Duration::from_hours(1);
/// Format prefix of the signed text of a pending sign-in.
const PENDING_FORMAT: &str = "SDS1";

/// A correct code that has not been consumed yet.
#[derive(Debug, Clone)]
pub(crate) struct ValidCode {
    user: UserId,
    /// The encrypted secret of the factor that the code was checked against.
    secret: String,
    kind: CodeKind,
}

#[derive(Debug, Clone)]
enum CodeKind {
    /// A code of the app, by its 30-second step.
    App(i64),
    /// A recovery code, by its hash.
    Recovery(String),
}

fn secret_purpose(user: UserId) -> String {
    format!("second factor of {user}")
}

fn setup_purpose(user: UserId) -> String {
    format!("setup of a second factor of {user}")
}

/// Prefixes the payload of a token with its time of expiry.
fn with_expiry(payload: &[u8], expires_at: Moment) -> Vec<u8> {
    [expires_at.micros().to_be_bytes().as_slice(), payload].concat()
}

/// Removes the prefix that [`with_expiry`] adds. None: the token has expired.
fn unexpired(token: &[u8], now: Moment) -> Option<&[u8]> {
    let (expires_at, payload) = token.split_first_chunk::<8>()?;
    (Moment::from_micros(i64::from_be_bytes(*expires_at)) > now).then_some(payload)
}

fn wrong_code(user: UserId) -> AppError {
    security::record(Event::SecondFactorProof, Outcome::Failed, Some(user), "");
    AppError::invalid("code", WRONG_CODE)
}

impl AccountsService {
    /// Compares `code` with the app's codes and the format of recovery codes. None: it is wrong.
    /// Whether it was used before is decided when it is consumed.
    async fn match_code(
        &self,
        user: UserId,
        factor: &Factor,
        code: &str,
    ) -> FaultResult<Option<ValidCode>> {
        let kind = if let Some(hash) = totp::recovery_hash(code) {
            Some(CodeKind::Recovery(hash))
        } else {
            let secret =
                encrypted::decrypt(&self.db, &secret_purpose(user), &factor.secret).await?;
            let secret = secret.and_then(|secret| Shared::try_from(secret).ok());
            if secret.is_none() {
                // Its key was deleted. Recovery codes still work, and an operator can reset the factor.
                tracing::error!(%user, "Second factor cannot be decrypted");
            }
            let now = self.clock.now();
            secret
                .and_then(|secret| totp::step(secret, code, now))
                .map(CodeKind::App)
        };
        Ok(kind.map(|kind| ValidCode {
            user,
            secret: factor.secret.clone(),
            kind,
        }))
    }

    /// Checks `code` if the account has a second factor. None: it has none. The caller consumes the
    /// code ([`consume_code`]) and then calls [`Self::uncount_code`].
    ///
    /// Errors: `SecondFactorRequired`, `TooManyRequests`.
    pub(crate) async fn check_code(
        &self,
        account: &Account,
        code: Option<&str>,
    ) -> FaultResult<Option<(ValidCode, CountedCode)>> {
        let user = account.user.id;
        let Some(factor) = factors::find(self.db.reads(), user).await? else {
            return Ok(None);
        };
        let Some(code) = code.filter(|code| !code.trim().is_empty()) else {
            return Err(AppError::SecondFactorRequired { wrong: false }.into());
        };
        let counted = CountedCode(self.count_code(account).await?);
        match self.match_code(user, &factor, code).await? {
            Some(code) => Ok(Some((code, counted))),
            None => Err(code_refused(user)),
        }
    }

    /// Reverts the count of a code that was correct.
    pub(crate) async fn uncount_code(&self, counted: CountedCode) {
        self.limits.give_back(&counted.0).await;
    }

    /// Checks and consumes `code` if the account has a second factor.
    pub(crate) async fn require_second_factor(
        &self,
        account: &Account,
        code: Option<&str>,
    ) -> FaultResult<()> {
        let Some((code, counted)) = self.check_code(account, code).await? else {
            return Ok(());
        };
        let (user, now) = (account.user.id, self.clock.now());
        let consumed: Result<bool, sqlx::Error> = self
            .db
            .write(move |conn| Box::pin(async move { consume_code(conn, &code, now).await }))
            .await;
        if !consumed? {
            return Err(code_refused(user));
        }
        self.uncount_code(counted).await;
        Ok(())
    }

    async fn find_pending_sign_in(&self, pending: &PendingSignIn) -> FaultResult<Option<Account>> {
        let token = sealed::open(&self.db, PENDING_FORMAT, &pending.0).await?;
        let now = self.clock.now();
        let payload = token.as_deref().and_then(|token| unexpired(token, now));
        let named = payload.and_then(|payload| {
            let (user, epoch) = payload.split_first_chunk::<16>()?;
            let epoch = i64::from_be_bytes(epoch.try_into().ok()?);
            Some((UserId(Uuid::from_bytes(*user)), epoch))
        });
        let Some((user, epoch)) = named else {
            return Ok(None);
        };
        let account = store::find_account(self.db.reads(), user).await?;
        Ok(account.filter(|account| account.epoch == epoch))
    }

    async fn begin_sign_in(&self, request: SignIn) -> FaultResult<SignInStep> {
        let account = self.authenticate(request).await?;
        let (user, now) = (account.user.id, self.clock.now());
        if factors::find(self.db.reads(), user).await?.is_none() {
            self.bind_session(user, account.epoch).await?;
            security::record(Event::SignIn, Outcome::Done, Some(user), "");
            return Ok(SignInStep::Done(account.user));
        }
        let payload = [user.0.as_bytes().as_slice(), &account.epoch.to_be_bytes()].concat();
        let payload = with_expiry(&payload, now + PENDING_VALID_FOR);
        let pending = sealed::seal(&self.db, PENDING_FORMAT, &payload, now).await?;
        Ok(SignInStep::Code(PendingSignIn(pending)))
    }

    async fn begin_second_factor_setup(
        &self,
        viewer: &Viewer,
        existing: Option<String>,
    ) -> FaultResult<(SecondFactorSetup, Qr)> {
        let (user, now) = (viewer.user.id, self.clock.now());
        let reusable = match existing {
            Some(setup) => self.decrypt_setup(user, &setup).await?.zip(Some(setup)),
            None => None,
        };
        let (secret, setup) = match reusable {
            Some(reusable) => reusable,
            None => {
                let secret = totp::new_secret();
                let payload = with_expiry(&secret, now + SETUP_VALID_FOR);
                let setup =
                    encrypted::encrypt(&self.db, &setup_purpose(user), &payload, now).await?;
                (secret, setup)
            }
        };
        let uri = totp::uri(secret, &viewer.user.email, &self.public_url);
        let qr = qr::render(&uri)
            .map_err(|error| Fault::unexpected("QR code could not be made", error))?;
        let secret = totp::base32(secret);
        Ok((SecondFactorSetup { setup, secret, uri }, qr))
    }

    async fn decrypt_setup(&self, user: UserId, setup: &str) -> FaultResult<Option<Shared>> {
        let token = encrypted::decrypt(&self.db, &setup_purpose(user), setup).await?;
        let now = self.clock.now();
        let secret = token.as_deref().and_then(|token| unexpired(token, now));
        Ok(secret.and_then(|secret| secret.try_into().ok()))
    }

    async fn enable_second_factor(
        &self,
        viewer: &Viewer,
        request: EnableSecondFactor,
    ) -> FaultResult<RecoveryCodes> {
        let (user, now) = (viewer.user.id, self.clock.now());
        if !self.find_own(viewer).await?.has_password() {
            let message = "Set a password first. Two-step sign-in asks for a code in addition to the password.";
            return Err(AppError::invalid("password", message).into());
        }
        rules::check_second_factor(&request.password, &request.code)?;
        let Some(secret) = self.decrypt_setup(user, &request.setup).await? else {
            let message = "This setup is too old. Scan the new code, and try again.";
            return Err(AppError::invalid("setup", message).into());
        };
        let account = self
            .prove_password(viewer, request.password, "password")
            .await?;
        let step = totp::step(secret, &request.code, now).ok_or_else(|| wrong_code(user))?;
        let encrypted_secret =
            encrypted::encrypt(&self.db, &secret_purpose(user), &secret, now).await?;
        let (codes, hashes) = new_codes();
        let epoch = self
            .db
            .write(move |conn| {
                Box::pin(async move {
                    if !store::lock(conn, user, Some(&account.password_hash)).await? {
                        return Err(rules::wrong_password("password").into());
                    }
                    if !factors::insert(conn, user, &encrypted_secret, step, now).await? {
                        return Err(Conflict::SecondFactorOn.into());
                    }
                    factors::replace_recovery_codes(conn, user, &hashes).await?;
                    resets::delete_of_user(conn, user).await?;
                    queue_notice(conn, user, FactorChange::On, now).await?;
                    let epoch = store::begin_epoch(conn, user).await?;
                    Ok::<_, Fault>(epoch.ok_or(AppError::SignInRequired)?)
                })
            })
            .await?;
        self.rebind_session(user, epoch).await?;
        Ok(codes)
    }

    /// Checks the password and the code that a change of the factor requires. Errors: `Invalid` at
    /// `password` or `code`, `SecondFactorOff`, `TooManyRequests`.
    async fn reauthenticate(
        &self,
        viewer: &Viewer,
        request: ProveSecondFactor,
    ) -> FaultResult<Reauthenticated> {
        rules::check_second_factor(&request.password, &request.code)?;
        let user = viewer.user.id;
        let factor = factors::find(self.db.reads(), user).await?;
        let factor = factor.ok_or(Conflict::SecondFactorOff)?;
        let account = self
            .prove_password(viewer, request.password, "password")
            .await?;
        let counted = self.count_attempt(Purpose::Proof(user), None).await?;
        let Some(code) = self.match_code(user, &factor, &request.code).await? else {
            return Err(wrong_code(user).into());
        };
        Ok(Reauthenticated {
            password_hash: account.password_hash,
            code,
            counted: CountedCode(counted),
        })
    }

    async fn renew_recovery_codes(
        &self,
        viewer: &Viewer,
        request: ProveSecondFactor,
    ) -> FaultResult<RecoveryCodes> {
        let proof = self.reauthenticate(viewer, request).await?;
        let (user, now) = (viewer.user.id, self.clock.now());
        let (codes, hashes) = new_codes();
        let counted = proof.counted.clone();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    proof.consume(conn, now).await?;
                    factors::replace_recovery_codes(conn, user, &hashes).await?;
                    Ok::<_, Fault>(queue_notice(conn, user, FactorChange::Codes, now).await?)
                })
            })
            .await?;
        self.uncount_code(counted).await;
        Ok(codes)
    }

    async fn disable_second_factor(
        &self,
        viewer: &Viewer,
        request: ProveSecondFactor,
    ) -> FaultResult<()> {
        let proof = self.reauthenticate(viewer, request).await?;
        let (user, now) = (viewer.user.id, self.clock.now());
        let counted = proof.counted.clone();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    proof.consume(conn, now).await?;
                    if !factors::delete(conn, user).await? {
                        return Err(Conflict::SecondFactorOff.into());
                    }
                    Ok::<_, Fault>(queue_notice(conn, user, FactorChange::Off, now).await?)
                })
            })
            .await?;
        self.uncount_code(counted).await;
        Ok(())
    }

    async fn get_second_factor(&self, viewer: &Viewer) -> FaultResult<SecondFactorState> {
        let user = viewer.user.id;
        let factor = factors::find(self.db.reads(), user).await?;
        let status = self.operators.status_of(self.db.reads(), user).await?;
        Ok(SecondFactorState {
            enabled_at: factor.as_ref().map(|factor| factor.enabled_at.timestamp()),
            recovery_codes_left: factor.map_or(0, |factor| factor.codes_left),
            required: self.operators.need_second_factor && status != OperatorStatus::NotOperator,
        })
    }
}

/// The limits that a code was counted against.
#[derive(Debug, Clone)]
pub(crate) struct CountedCode(Vec<platform::limits::Key>);

/// A correct password and a correct code that has not been consumed yet.
struct Reauthenticated {
    password_hash: String,
    code: ValidCode,
    counted: CountedCode,
}

impl Reauthenticated {
    /// Checks that the password has not changed, and consumes the code.
    async fn consume(&self, conn: &mut Conn, now: Moment) -> FaultResult<()> {
        if !store::lock(conn, self.code.user, Some(&self.password_hash)).await? {
            return Err(rules::wrong_password("password").into());
        }
        if !consume_code(conn, &self.code, now).await? {
            return Err(wrong_code(self.code.user).into());
        }
        Ok(())
    }
}

pub(crate) fn code_refused(user: UserId) -> Fault {
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

/// Consumes a code. False: it was used, or the factor was replaced.
pub(crate) async fn consume_code(
    conn: &mut Conn,
    code: &ValidCode,
    now: Moment,
) -> Result<bool, sqlx::Error> {
    match &code.kind {
        CodeKind::App(step) => factors::consume_step(conn, code.user, &code.secret, *step).await,
        CodeKind::Recovery(hash) => {
            let consumed = factors::consume_recovery_code(conn, code.user, hash, now).await?;
            if consumed {
                queue_notice(conn, code.user, FactorChange::CodeUsed, now).await?;
            }
            Ok(consumed)
        }
    }
}

/// Queues the mail that reports the change to the owner, who may not have made it.
async fn queue_notice(
    conn: &mut Conn,
    user: UserId,
    change: FactorChange,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let subject = mail::subjects::format_factor_changed(user, change, now);
    links::queue_or_skip_to(conn, Kind::SecondFactorChanged, subject, user, now).await
}

/// Deletes the second factor of the account with this address and ends its sessions, without any proof:
/// for an operator's command. Returns the account and whether it had a factor. None: no such account.
pub async fn reset_second_factor_of(
    db: &Db,
    clock: &dyn Clock,
    sessions: &dyn Sessions,
    email: &str,
) -> FaultResult<Option<(User, bool)>> {
    let account = store::find_by_email(db.reads(), &rules::email_key(email)).await?;
    let Some(Account { user, .. }) = account else {
        return Ok(None);
    };
    let (id, now) = (user.id, clock.now());
    let epoch: Option<i64> = db
        .write(move |conn| {
            Box::pin(async move {
                if !factors::delete(conn, id).await? {
                    return Ok(None);
                }
                queue_notice(conn, id, FactorChange::Reset, now).await?;
                store::begin_epoch(conn, id).await
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
        Ok(self.begin_sign_in(request).await?)
    }

    async fn find_pending_sign_in(&self, pending: &PendingSignIn) -> AppResult<Option<String>> {
        let account = self.find_pending_sign_in(pending).await?;
        Ok(account.map(|account| account.user.email))
    }

    async fn finish_sign_in(&self, pending: PendingSignIn, code: String) -> AppResult<User> {
        let account = self.find_pending_sign_in(&pending).await?;
        let account = account.ok_or(AppError::SignInRequired)?;
        self.require_second_factor(&account, Some(&code)).await?;
        self.bind_session(account.user.id, account.epoch).await?;
        security::record(Event::SignIn, Outcome::Done, Some(account.user.id), "");
        Ok(account.user)
    }

    async fn get_second_factor(&self, viewer: &Viewer) -> AppResult<SecondFactorState> {
        Ok(self.get_second_factor(viewer).await?)
    }

    async fn begin_second_factor_setup(
        &self,
        viewer: &Viewer,
        existing: Option<String>,
    ) -> AppResult<(SecondFactorSetup, Qr)> {
        Ok(self.begin_second_factor_setup(viewer, existing).await?)
    }

    async fn enable_second_factor(
        &self,
        viewer: &Viewer,
        request: EnableSecondFactor,
    ) -> AppResult<RecoveryCodes> {
        let enabled = self.enable_second_factor(viewer, request).await;
        security::record_result(
            Event::SecondFactorOn,
            enabled.map_err(AppError::from),
            |_| Some(viewer.user.id),
        )
    }

    async fn renew_recovery_codes(
        &self,
        viewer: &Viewer,
        request: ProveSecondFactor,
    ) -> AppResult<RecoveryCodes> {
        let renewed = self.renew_recovery_codes(viewer, request).await;
        security::record_result(
            Event::RecoveryCodes,
            renewed.map_err(AppError::from),
            |_| Some(viewer.user.id),
        )
    }

    async fn disable_second_factor(
        &self,
        viewer: &Viewer,
        request: ProveSecondFactor,
    ) -> AppResult<()> {
        let disabled = self.disable_second_factor(viewer, request).await;
        security::record_result(
            Event::SecondFactorOff,
            disabled.map_err(AppError::from),
            |()| Some(viewer.user.id),
        )
    }
}
