//! Signing up, in and out, and changing one's name.

use super::{password::Passwords, rules, store};
use crate::{
    clock::SharedClock,
    db::Db,
    fault::{Fault, FaultResult},
    limits::{Key, Limits},
    outbox::{self, EventType},
    request, session,
};
use app::{
    accounts::{Accounts, SignIn, SignUp, User, Viewer},
    error::{AppError, AppResult},
    ids::UserId,
};
use async_trait::async_trait;
use std::sync::Arc;
use uuid::Uuid;

/// The rules of accounts.
#[derive(Clone)]
pub struct AccountsService {
    db: Db,
    clock: SharedClock,
    limits: Arc<Limits>,
    passwords: Passwords,
}

impl AccountsService {
    /// Accounts over `db`, guarded by `limits`.
    pub fn new(db: Db, clock: SharedClock, limits: Arc<Limits>) -> FaultResult<Self> {
        Ok(Self {
            db,
            clock,
            limits,
            passwords: Passwords::new()?,
        })
    }

    /// Makes an account, without signing anybody in.
    pub async fn create(&self, request: SignUp) -> FaultResult<User> {
        let checked = rules::check(&request)?;
        let hash = self.passwords.hash(request.password.0).await?;
        let user = User {
            id: UserId(Uuid::now_v7()),
            email: checked.email,
            name: checked.name,
            version: 1,
        };
        let written = user.clone();
        let now = self.clock.now_micros();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let key = rules::email_key(&written.email);
                    if !store::user_insert(conn, &written, &key, &hash, now).await? {
                        let message = "There is an account with this address. Sign in instead.";
                        return Err(AppError::invalid("email", message).into());
                    }
                    let told = [store::told(EventType::UserCreated, &written)];
                    Ok::<_, Fault>(outbox::append(conn, now, &told).await?)
                })
            })
            .await?;
        Ok(user)
    }

    /// The account of this address, if there is one.
    pub async fn find(&self, email: &str) -> FaultResult<Option<User>> {
        let found = store::user_find_by_email(self.db.reads(), &rules::email_key(email)).await?;
        Ok(found.map(|(user, _)| user))
    }

    async fn identify(&self, request: SignIn) -> FaultResult<User> {
        let key = rules::email_key(&request.email);
        let of = Key::FailedSignInOf(key.clone());
        let from = Key::FailedSignInFrom(request::address());
        self.limits.check(&of)?;
        self.limits.check(&from)?;
        let found = store::user_find_by_email(self.db.reads(), &key).await?;
        let (user, hash) = found.unzip();
        let right = self.passwords.verify(request.password.0, hash).await?;
        match user {
            Some(user) if right => Ok(user),
            _ => {
                self.limits.count(of);
                self.limits.count(from);
                Err(AppError::BadCredentials.into())
            }
        }
    }

    /// Binds the request's session to the user, under a new id: one that somebody planted before
    /// is worth nothing.
    async fn bind_session(&self, user: &User) -> FaultResult<()> {
        let Some(session) = request::session() else {
            return Ok(());
        };
        let failed = |error| Fault::unexpected("a session could not be written", error);
        session.cycle_id().await.map_err(failed)?;
        session
            .insert(session::USER_ID, user.id)
            .await
            .map_err(failed)?;
        Ok(())
    }

    async fn rename_user(&self, id: UserId, name: &str) -> FaultResult<User> {
        let name = rules::check_name(name)?;
        let now = self.clock.now_micros();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let user = store::user_rename(conn, id, &name).await?;
                    let user = user.ok_or(AppError::NotFound)?;
                    let told = [store::told(EventType::UserUpdated, &user)];
                    outbox::append(conn, now, &told).await?;
                    Ok(user)
                })
            })
            .await
    }
}

#[async_trait]
impl Accounts for AccountsService {
    async fn sign_up(&self, request: SignUp) -> AppResult<User> {
        self.limits.take(Key::SignUpFrom(request::address()))?;
        let user = self.create(request).await?;
        self.bind_session(&user).await?;
        Ok(user)
    }

    async fn sign_in(&self, request: SignIn) -> AppResult<User> {
        let user = self.identify(request).await?;
        self.bind_session(&user).await?;
        Ok(user)
    }

    async fn sign_out(&self) -> AppResult<()> {
        if let Some(session) = request::session() {
            let failed = |error| Fault::unexpected("a session could not be ended", error);
            session.flush().await.map_err(failed)?;
        }
        Ok(())
    }

    async fn rename(&self, viewer: &Viewer, name: String) -> AppResult<User> {
        Ok(self.rename_user(viewer.user.id, &name).await?)
    }
}
