//! Signing up, in and out, buying as a guest, and changing one's name.

use super::{
    OperatorStatus, Operators,
    attempts::Purpose,
    links,
    password::Passwords,
    rules::{self, Profile},
    store::{self, Account, Credential},
};
use async_trait::async_trait;
use model::{
    accounts::{
        ADDRESS_IN_USE, Accounts, BuyAsGuest, Forgot, GUEST_CAME_BACK, Password, SignIn, SignUp,
        User, Viewer,
    },
    error::{AppError, AppResult},
    ids::UserId,
};
use platform::{
    clock::SharedClock,
    db::Db,
    fault::{Fault, FaultResult},
    limits::{Key, Limits},
    outbox::{self, EventType},
    request,
    security::{self, Event, Outcome},
    session::{self, Sessions},
};
use sha2::{Digest, Sha256};
use std::{collections::HashMap, sync::Arc, time::Duration};
use uuid::Uuid;

/// How long a repeated guest form returns the account that it made: long enough for a second click or a
/// lost response.
const GUEST_FORM_VALID_FOR: Duration = Duration::from_mins(10);

/// Whether a verification link is mailed to the address of a new account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verification {
    SendLink,
    Skip,
}

/// Implements [`Accounts`] and [`SecondFactor`](model::accounts::SecondFactor).
#[derive(Clone)]
pub struct AccountsService {
    pub(super) db: Db,
    pub(super) clock: SharedClock,
    pub(super) limits: Arc<Limits>,
    pub(super) sessions: Arc<dyn Sessions>,
    pub(super) passwords: Passwords,
    pub(super) operators: Operators,
    /// The shop's origin, which authenticator apps show.
    pub(super) public_url: Arc<str>,
}

impl AccountsService {
    pub fn new(
        db: Db,
        clock: SharedClock,
        limits: Arc<Limits>,
        sessions: Arc<dyn Sessions>,
        operators: Operators,
        public_url: &str,
    ) -> FaultResult<Self> {
        Ok(Self {
            operators,
            public_url: public_url.into(),
            db,
            clock,
            limits,
            sessions,
            passwords: Passwords::new()?,
        })
    }

    /// Creates an account without signing in and without mailing a verification link.
    pub(crate) async fn create(&self, request: SignUp) -> FaultResult<User> {
        self.create_member(request, Verification::Skip).await
    }

    async fn create_member(
        &self,
        request: SignUp,
        verification: Verification,
    ) -> FaultResult<User> {
        let profile = rules::check_sign_up(&request)?;
        let hash = self.hash(request.password).await?;
        let credential = Credential::Password(hash);
        self.create_account(profile, credential, verification).await
    }

    /// Creates an account. A guest form that created one within [`GUEST_FORM_VALID_FOR`] returns that
    /// account.
    async fn create_account(
        &self,
        profile: Profile,
        credential: Credential,
        verification: Verification,
    ) -> FaultResult<User> {
        let user = User {
            id: UserId(Uuid::now_v7()),
            email: profile.email,
            name: profile.name,
            email_verified: false,
            version: 1,
        };
        let now = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let key = rules::email_key(&user.email);
                    if store::insert(conn, &user, &key, &credential, now).await? {
                        let event = store::domain_event(EventType::UserCreated, &user);
                        outbox::append(conn, now, &[event]).await?;
                        if verification == Verification::SendLink {
                            links::queue_verification_link(conn, &user, now).await?;
                        }
                        return Ok::<_, Fault>(user);
                    }
                    let existing = match credential {
                        Credential::Guest(Some(form)) => {
                            let after = now - GUEST_FORM_VALID_FOR;
                            store::find_guest(conn, &key, &form, after).await?
                        }
                        Credential::Guest(None) | Credential::Password(_) => None,
                    };
                    Ok(existing.ok_or_else(|| AppError::invalid("email", ADDRESS_IN_USE))?)
                })
            })
            .await
    }

    /// If `refused` says that the address belongs to a guest, mails them a link that signs in and continues
    /// at `next`. Returns the error to show.
    async fn mail_returning_guest(&self, email: String, next: String, refused: Fault) -> Fault {
        let in_use = AppError::invalid("email", ADDRESS_IN_USE);
        if !matches!(&refused, Fault::Refused(error) if *error == in_use) {
            return refused;
        }
        let key = rules::email_key(&email);
        let found = match store::find_by_email(self.db.reads(), &key).await {
            Ok(found) => found,
            Err(error) => return error.into(),
        };
        if found.is_none_or(|found| found.has_password()) {
            return refused;
        }
        match self.request_reset(Forgot { email }, Some(next)).await {
            Ok(()) => AppError::invalid("email", GUEST_CAME_BACK).into(),
            // Enough links have been mailed; the page offers to request another.
            Err(Fault::Refused(_)) => refused,
            Err(fault) => fault,
        }
    }

    /// The account with this address and password. Errors: `BadCredentials`, `Invalid`,
    /// `TooManyRequests`.
    pub(super) async fn authenticate(&self, request: SignIn) -> FaultResult<Account> {
        rules::check_sign_in(&request)?;
        let key = rules::email_key(&request.email);
        let found = store::find_by_email(self.db.reads(), &key).await?;
        let user = found.as_ref().map(|found| found.user.id);
        let correct = self
            .verify_password(Purpose::SignIn(key), request.password, found.as_ref())
            .await?;
        match found.filter(|_| correct) {
            Some(found) => Ok(found),
            None => {
                security::record(Event::SignIn, Outcome::Failed, user, "");
                Err(AppError::BadCredentials.into())
            }
        }
    }

    /// Reads the viewer's account. Errors: `SignInRequired` if it has been deleted.
    pub(crate) async fn find_own(&self, viewer: &Viewer) -> FaultResult<Account> {
        let found = store::find_account(self.db.reads(), viewer.user.id).await?;
        Ok(found.ok_or(AppError::SignInRequired)?)
    }

    /// Reads the viewer's account and checks `password`. For an account without a password, the session
    /// is the only proof. Errors: `Invalid` at `field`, `TooManyRequests`.
    pub(crate) async fn prove_password(
        &self,
        viewer: &Viewer,
        password: Password,
        field: &str,
    ) -> FaultResult<Account> {
        let found = self.find_own(viewer).await?;
        if !found.has_password() {
            return Ok(found);
        }
        rules::check_current_password(field, &password)?;
        let purpose = Purpose::Proof(found.user.id);
        if self
            .verify_password(purpose, password, Some(&found))
            .await?
        {
            Ok(found)
        } else {
            security::record(
                Event::PasswordProof,
                Outcome::Failed,
                Some(viewer.user.id),
                "",
            );
            Err(rules::wrong_password(field).into())
        }
    }

    pub(crate) async fn operator_status(&self, viewer: &Viewer) -> FaultResult<OperatorStatus> {
        Ok(self
            .operators
            .status_of(self.db.reads(), viewer.user.id)
            .await?)
    }

    async fn rename(&self, viewer: &Viewer, name: &str) -> FaultResult<User> {
        let id = viewer.user.id;
        let name = rules::check_name(name)?;
        let now = self.clock.now();
        let renamed = self
            .db
            .write(move |conn| {
                Box::pin(async move {
                    let user = store::rename(conn, id, &name).await?;
                    let user = user.ok_or(AppError::NotFound)?;
                    let event = store::domain_event(EventType::UserUpdated, &user);
                    outbox::append(conn, now, &[event]).await?;
                    Ok(user)
                })
            })
            .await;
        self.sessions.user_changed(id).await;
        renamed
    }
}

#[async_trait]
impl Accounts for AccountsService {
    async fn sign_up(&self, request: SignUp) -> AppResult<User> {
        self.limits
            .take(&Key::SignUpFrom(request::network()))
            .await?;
        let user = self.create_member(request, Verification::SendLink).await?;
        self.bind_session(user.id, 0).await?;
        security::record(Event::SignUp, Outcome::Done, Some(user.id), "");
        Ok(user)
    }

    async fn buy_as_guest(&self, request: BuyAsGuest) -> AppResult<User> {
        self.limits
            .take(&Key::SignUpFrom(request::network()))
            .await?;
        let profile = rules::check_guest(&request)?;
        let form = request.form.map(|form| hex::encode(Sha256::digest(form)));
        let email = profile.email.clone();
        let created = self
            .create_account(profile, Credential::Guest(form), Verification::Skip)
            .await;
        let user = match created {
            Ok(user) => user,
            Err(fault) => {
                let fault = self.mail_returning_guest(email, request.next, fault);
                return Err(fault.await.into());
            }
        };
        self.bind_session(user.id, 0).await?;
        security::record(Event::GuestCheckout, Outcome::Done, Some(user.id), "");
        Ok(user)
    }

    async fn sign_in(&self, request: SignIn) -> AppResult<User> {
        let code = request.code.clone();
        let account = self.authenticate(request).await?;
        self.require_second_factor(&account, code.as_deref())
            .await?;
        self.bind_session(account.user.id, account.epoch).await?;
        security::record(Event::SignIn, Outcome::Done, Some(account.user.id), "");
        Ok(account.user)
    }

    async fn sign_out(&self) -> AppResult<()> {
        if let Some(session) = request::session() {
            let failed = |error| session::failed("Session could not be ended", error);
            let user = session::viewer(&session).await.ok().flatten();
            session.flush().await.map_err(failed)?;
            request::mark_session_ended();
            let user = user.map(|viewer| viewer.user.id);
            security::record(Event::SignOut, Outcome::Done, user, "");
        }
        Ok(())
    }

    async fn rename(&self, viewer: &Viewer, name: String) -> AppResult<User> {
        Ok(self.rename(viewer, &name).await?)
    }

    async fn signed_in_recently(&self) -> AppResult<bool> {
        Ok(self.signed_in_recently().await)
    }

    async fn has_password(&self, viewer: &Viewer) -> AppResult<bool> {
        Ok(self.find_own(viewer).await?.has_password())
    }

    async fn find_names(&self, ids: &[UserId]) -> AppResult<HashMap<UserId, String>> {
        let names = store::find_names(self.db.reads(), ids).await;
        Ok(names.map_err(Fault::from)?)
    }
}
