//! Proving that an account's address is its owner's, and replacing an address.
//!
//! Invariant: an address counts as proved only after a link that was mailed to it was followed, and an
//! account gets another address only then. The letters are `letters/account.rs`; what an account may not
//! do before its address is proved is checked where it would be done.

use super::AccountCareService;
use crate::{
    accounts::{
        links::ask_for_proof,
        proofs::{self, Proof},
        resets, rules, store,
    },
    mail::{self, Kind},
    orders, passes, waiting,
};
use model::{
    Moment,
    accounts::{ADDRESS_IN_USE, ChangeEmail, ResetToken, User, Viewer},
    error::AppError,
    micros,
    order_link::OrderLink,
};
use platform::{
    db::Conn,
    fault::{Fault, FaultResult},
    limits::Key,
    outbox::{self, EventType},
    request,
    security::{self, Event, Outcome},
};

impl AccountCareService {
    pub(super) async fn send_own_proof(&self, viewer: &Viewer) -> FaultResult<()> {
        let own = self.accounts.own(viewer).await?.user;
        if own.email_verified {
            return Ok(());
        }
        self.limits
            .take(&Key::ProofFrom(request::network()))
            .await?;
        let now = self.clock.now();
        self.db
            .write(move |conn| Box::pin(async move { Ok(ask_for_proof(conn, &own, now).await?) }))
            .await
    }

    pub(super) async fn ask_for_change(
        &self,
        viewer: &Viewer,
        request: ChangeEmail,
    ) -> FaultResult<()> {
        let own = self.accounts.own(viewer).await?;
        rules::check_new_email(&request, own.has_password())?;
        let email = request.email.trim().to_owned();
        let own = self
            .accounts
            .proved(viewer, request.password, "password")
            .await?
            .user;
        if rules::email_key(&email) == rules::email_key(&own.email) {
            return Err(AppError::invalid("email", "This is the address that you have.").into());
        }
        self.limits
            .take(&Key::ProofFrom(request::network()))
            .await?;
        let key = rules::email_key(&email);
        let (user, now) = (own.id, self.clock.now());
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    if store::user_find_by_email(&mut *conn, &key).await?.is_some() {
                        return Err(in_use("email").into());
                    }
                    let id = proofs::proof_insert(conn, user, &email, now).await?;
                    let kind = Kind::EmailProof;
                    let queued = mail::queue_rarely(conn, kind, id, &key, now).await?;
                    if queued {
                        return Ok(());
                    }
                    let wait = AppError::TooManyRequests {
                        retry_after_seconds: micros(mail::RARELY) / 1_000_000,
                    };
                    Err::<_, Fault>(wait.into())
                })
            })
            .await
    }

    pub(super) async fn linked_proof(
        &self,
        token: &ResetToken,
    ) -> FaultResult<Option<(Proof, User)>> {
        let now = self.clock.now();
        let Some(proof) = proofs::proof_linked(self.db.reads(), token, now).await? else {
            return Ok(None);
        };
        let user = store::user_find(self.db.reads(), proof.user).await?;
        Ok(user.map(|user| (proof, user)))
    }

    /// Takes an account's address as proved without a link that was mailed to it.
    pub async fn vouch(&self, user: User) -> FaultResult<User> {
        let now = self.clock.now();
        self.db
            .write(move |conn| Box::pin(async move { take_as_proved(conn, user, now).await }))
            .await
    }

    /// Takes the viewer's address as proved if they are the buyer of the link's order. The link proves
    /// nothing of other accounts: a stranger may have bought with this address.
    pub(super) async fn prove_by_order(
        &self,
        viewer: &Viewer,
        link: &OrderLink,
    ) -> FaultResult<()> {
        let Some(order) = passes::link::order_of(&self.db, link).await? else {
            return Ok(());
        };
        let order = orders::store::find(self.db.reads(), order).await?;
        let own = self.accounts.own(viewer).await?.user;
        if order.is_none_or(|order| order.buyer != own.id) {
            return Ok(());
        }
        let news = !own.email_verified;
        self.vouch(own).await?;
        self.sessions.user_changed(viewer.user.id).await;
        if news {
            let user = Some(viewer.user.id);
            security::record(
                Event::EmailConfirmation,
                Outcome::Done,
                user,
                "by an order's link",
            );
        }
        Ok(())
    }

    pub(super) async fn prove(&self, token: ResetToken) -> FaultResult<Proved> {
        self.limits
            .take(&Key::ResetFrom(request::network()))
            .await?;
        let now = self.clock.now();
        let proved = self
            .db
            .write(move |conn| {
                Box::pin(async move {
                    let proof = proofs::proof_take(conn, &token, now).await?;
                    let proof = proof.ok_or_else(rules::dead_proof)?;
                    let user = store::user_find(&mut *conn, proof.user).await?;
                    let user = user.ok_or_else(rules::dead_proof)?;
                    if rules::email_key(&proof.email) == rules::email_key(&user.email) {
                        let user = take_as_proved(conn, user, now).await?;
                        return Ok(Proved {
                            user,
                            replaced: false,
                        });
                    }
                    let user = replace(conn, &user, &proof, now).await?;
                    Ok::<_, Fault>(Proved {
                        user,
                        replaced: true,
                    })
                })
            })
            .await?;
        self.sessions.user_changed(proved.user.id).await;
        Ok(proved)
    }
}

/// What following a link that proves an address has come to.
pub(super) struct Proved {
    /// The account as it is then.
    pub user: User,
    /// Whether the address is another than before.
    pub replaced: bool,
}

fn in_use(field: &str) -> AppError {
    AppError::invalid(field, ADDRESS_IN_USE)
}

/// The owner of this account has followed a link that was mailed to its address. Returns the account
/// as it is then.
pub(super) async fn take_as_proved(conn: &mut Conn, user: User, now: Moment) -> FaultResult<User> {
    let proved = store::email_prove(conn, user.id, &user.email, now).await?;
    let Some(proved) = proved else {
        return Ok(user);
    };
    settle(conn, &proved, now).await?;
    Ok(proved)
}

async fn replace(conn: &mut Conn, user: &User, proof: &Proof, now: Moment) -> FaultResult<User> {
    let key = rules::email_key(&proof.email);
    let replaced = match store::email_replace(conn, user.id, &proof.email, &key, now).await {
        Ok(replaced) => replaced.ok_or_else(|| in_use("token"))?,
        // Another account got it at the same moment.
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            return Err(in_use("token").into());
        }
        Err(error) => return Err(error.into()),
    };
    // Links that were mailed to the address before.
    resets::resets_end(conn, user.id).await?;
    proofs::proofs_end(conn, user.id, Some(proof.id)).await?;
    proofs::proof_note_replaced(conn, proof.id, &user.email).await?;
    if user.email_verified {
        mail::queue(conn, Kind::EmailChanged, proof.id, now).await?;
    } else {
        let before = rules::email_key(&user.email);
        mail::queue_rarely(conn, Kind::EmailChanged, proof.id, &before, now).await?;
    }
    // Who mistyped their address has never got their tickets.
    let orders = passes::shown_orders(&mut *conn, user.id, now).await?;
    mail::queue_again(conn, Kind::OrderComplete, &orders, now).await?;
    settle(conn, &replaced, now).await?;
    Ok(replaced)
}

/// What follows from an address being proved: its entries of the waiting list are the account's, and
/// a domain event has the change.
async fn settle(conn: &mut Conn, user: &User, now: Moment) -> Result<(), sqlx::Error> {
    let key = rules::email_key(&user.email);
    waiting::store::claim(conn, user.id, &key).await?;
    outbox::append(conn, now, &[store::told(EventType::UserUpdated, user)]).await
}
