//! Signing up, in and out, buying as a guest, and changing one's name.

use super::{
    Operators, Standing, links,
    password::Passwords,
    rules::{self, Checked},
    store::{self, Lock, Locked},
    tries::Purpose,
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

/// How long a guest's form that is sent again is the same guest: long enough for a second click or a
/// lost answer, and no longer.
const GUEST_FORM: Duration = Duration::from_mins(10);

/// What is done about an address that a new account is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// Its owner is mailed a link to prove it.
    ToProve,
    /// Nothing for now.
    Given,
}

/// The rules of accounts.
#[derive(Clone)]
pub struct AccountsService {
    pub(super) db: Db,
    pub(super) clock: SharedClock,
    pub(super) limits: Arc<Limits>,
    pub(super) sessions: Arc<dyn Sessions>,
    pub(super) passwords: Passwords,
    pub(super) operators: Operators,
    /// The shop's own origin, which authenticator apps show.
    pub(super) public_url: Arc<str>,
}

impl AccountsService {
    /// Accounts over `db` of the shop at `public_url`, guarded by `limits`.
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

    /// Makes an account without signing in and without mailing a link that proves its address.
    pub(crate) async fn create(&self, request: SignUp) -> FaultResult<User> {
        self.make(request, Claim::Given).await
    }

    async fn make(&self, request: SignUp, claim: Claim) -> FaultResult<User> {
        let checked = rules::check(&request)?;
        let hash = self.hash(request.password).await?;
        self.open(checked, Lock::Password(hash), claim).await
    }

    /// Makes an account that this lock is on. A guest's form that made it before, a short while ago,
    /// gets the same.
    async fn open(&self, checked: Checked, lock: Lock, claim: Claim) -> FaultResult<User> {
        let user = User {
            id: UserId(Uuid::now_v7()),
            email: checked.email,
            name: checked.name,
            email_verified: false,
            version: 1,
        };
        let now = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let key = rules::email_key(&user.email);
                    if store::user_insert(conn, &user, &key, &lock, now).await? {
                        let told = [store::told(EventType::UserCreated, &user)];
                        outbox::append(conn, now, &told).await?;
                        if claim == Claim::ToProve {
                            links::ask_for_proof(conn, &user, now).await?;
                        }
                        return Ok::<_, Fault>(user);
                    }
                    let before = match lock {
                        Lock::Guest(Some(form)) => {
                            let after = now - GUEST_FORM;
                            store::guest_find(conn, &key, &form, after).await?
                        }
                        Lock::Guest(None) | Lock::Password(_) => None,
                    };
                    Ok(before.ok_or_else(|| AppError::invalid("email", ADDRESS_IN_USE))?)
                })
            })
            .await
    }

    /// Mails a guest who has bought with this address before the link that leads on, where that is why
    /// no account was made. Returns what they are told.
    async fn lead_back(&self, email: String, next: String, refused: Fault) -> Fault {
        let in_use = AppError::invalid("email", ADDRESS_IN_USE);
        if !matches!(&refused, Fault::Refused(error) if *error == in_use) {
            return refused;
        }
        let key = rules::email_key(&email);
        let found = match store::user_find_by_email(self.db.reads(), &key).await {
            Ok(found) => found,
            Err(error) => return error.into(),
        };
        if found.is_none_or(|found| found.has_password()) {
            return refused;
        }
        match self.queue_reset(Forgot { email }, Some(next)).await {
            Ok(()) => AppError::invalid("email", GUEST_CAME_BACK).into(),
            // Links enough are on their way: the page offers another.
            Err(Fault::Refused(_)) => refused,
            Err(fault) => fault,
        }
    }

    /// The account whose address and password these are.
    pub(super) async fn identify(&self, request: SignIn) -> FaultResult<Locked> {
        rules::check_sign_in(&request)?;
        let key = rules::email_key(&request.email);
        let found = store::user_find_by_email(self.db.reads(), &key).await?;
        let tried = found.as_ref().map(|found| found.user.id);
        let right = self
            .knows(Purpose::SignIn(key), request.password, found.as_ref())
            .await?;
        match found.filter(|_| right) {
            Some(found) => Ok(found),
            None => {
                security::record(Event::SignIn, Outcome::Failed, tried, "");
                Err(AppError::BadCredentials.into())
            }
        }
    }

    /// The viewer's account as it is now.
    pub(crate) async fn own(&self, viewer: &Viewer) -> FaultResult<Locked> {
        let found = store::user_find_locked(self.db.reads(), viewer.user.id).await?;
        Ok(found.ok_or(AppError::SignInRequired)?)
    }

    /// The viewer's account, if `password` is its password. Of an account without a password, the session
    /// is the only proof. Errors: `Invalid` at `field`.
    pub(crate) async fn proved(
        &self,
        viewer: &Viewer,
        password: Password,
        field: &str,
    ) -> FaultResult<Locked> {
        let found = self.own(viewer).await?;
        if !found.has_password() {
            return Ok(found);
        }
        rules::check_given(field, &password)?;
        let purpose = Purpose::Proof(found.user.id);
        if self.knows(purpose, password, Some(&found)).await? {
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

    /// How the viewer stands as an operator.
    pub(crate) async fn standing(&self, viewer: &Viewer) -> FaultResult<Standing> {
        Ok(self
            .operators
            .standing(self.db.reads(), viewer.user.id)
            .await?)
    }

    async fn rename_user(&self, id: UserId, name: &str) -> FaultResult<User> {
        let name = rules::check_name(name)?;
        let now = self.clock.now();
        let renamed = self
            .db
            .write(move |conn| {
                Box::pin(async move {
                    let user = store::user_rename(conn, id, &name).await?;
                    let user = user.ok_or(AppError::NotFound)?;
                    let told = [store::told(EventType::UserUpdated, &user)];
                    outbox::append(conn, now, &told).await?;
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
        let user = self.make(request, Claim::ToProve).await?;
        self.bind_session(user.id, 0).await?;
        security::record(Event::SignUp, Outcome::Done, Some(user.id), "");
        Ok(user)
    }

    async fn buy_as_guest(&self, request: BuyAsGuest) -> AppResult<User> {
        self.limits
            .take(&Key::SignUpFrom(request::network()))
            .await?;
        let checked = rules::check_guest(&request)?;
        let form = request.form.map(|form| hex::encode(Sha256::digest(form)));
        let email = checked.email.clone();
        let user = match self.open(checked, Lock::Guest(form), Claim::Given).await {
            Ok(user) => user,
            Err(fault) => return Err(self.lead_back(email, request.next, fault).await.into()),
        };
        self.bind_session(user.id, 0).await?;
        security::record(Event::GuestCheckout, Outcome::Done, Some(user.id), "");
        Ok(user)
    }

    async fn sign_in(&self, request: SignIn) -> AppResult<User> {
        let code = request.code.clone();
        let found = self.identify(request).await?;
        self.pass_second_factor(&found, code.as_deref()).await?;
        self.bind_session(found.user.id, found.epoch).await?;
        security::record(Event::SignIn, Outcome::Done, Some(found.user.id), "");
        Ok(found.user)
    }

    async fn sign_out(&self) -> AppResult<()> {
        if let Some(session) = request::session() {
            let failed = |error| session::failed("a session could not be ended", error);
            let user = session::viewer(&session).await.ok().flatten();
            session.flush().await.map_err(failed)?;
            request::mark_session_ended();
            let user = user.map(|viewer| viewer.user.id);
            security::record(Event::SignOut, Outcome::Done, user, "");
        }
        Ok(())
    }

    async fn rename(&self, viewer: &Viewer, name: String) -> AppResult<User> {
        Ok(self.rename_user(viewer.user.id, &name).await?)
    }

    async fn signed_in_lately(&self) -> AppResult<bool> {
        Ok(AccountsService::signed_in_lately(self).await)
    }

    async fn has_password(&self, viewer: &Viewer) -> AppResult<bool> {
        Ok(self.own(viewer).await?.has_password())
    }

    async fn names(&self, ids: &[UserId]) -> AppResult<HashMap<UserId, String>> {
        let names = store::user_names(self.db.reads(), ids).await;
        Ok(names.map_err(Fault::from)?)
    }
}
