//! Joining the list, confirming an address, leaving.

use super::{
    rules::{self, APART, Checked},
    store::{self, EntryRow, Which},
};
use crate::{
    accounts, events,
    mail::{self, Kind},
};
use async_trait::async_trait;
use model::{
    Moment,
    accounts::Viewer,
    error::{AppError, AppResult, Conflict},
    ids::{EventId, UserId},
    waiting::{JoinWaitingList, Joined, Waiting, WaitingList, WaitingToken},
};
use platform::{
    clock::SharedClock,
    db::{Conn, Db},
    fault::{Fault, FaultResult},
    limits::{Key, Limits},
    request,
};
use std::sync::Arc;

const OWN_MAX: i64 = 200;

/// The rules of the waiting list.
#[derive(Clone)]
pub struct WaitingService {
    db: Db,
    clock: SharedClock,
    limits: Arc<Limits>,
}

impl WaitingService {
    /// A waiting list over `db`.
    pub fn new(db: Db, clock: SharedClock, limits: Arc<Limits>) -> Self {
        Self { db, clock, limits }
    }

    async fn ask(
        &self,
        viewer: Option<&Viewer>,
        event: EventId,
        request: JoinWaitingList,
    ) -> FaultResult<Joined> {
        let asked = rules::check(viewer, &request)?;
        let now = self.clock.now();
        self.look_at(event, asked.quantity, now).await?;
        // Counted whether or not a mail comes of it, so that the answer tells nobody which it was.
        let own = viewer.filter(|_| asked.own).map(|viewer| viewer.user.id);
        self.limits
            .take(&Key::WaitingFrom(request::network()))
            .await?;
        // What strangers ask for an address does not keep its owner from asking.
        if own.is_none() {
            self.limits
                .take(&Key::WaitingOf(asked.email_key.clone()))
                .await?;
        }
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    match own {
                        Some(user) => join(conn, event, user, &asked, now).await,
                        None => Ok(ask_to_confirm(conn, event, &asked, now).await?),
                    }
                })
            })
            .await?;
        Ok(Joined {
            confirmed: own.is_some(),
        })
    }

    /// Whether there is anything to wait for.
    async fn look_at(&self, event: EventId, quantity: i64, now: Moment) -> FaultResult<()> {
        let found = events::store::event_find(self.db.reads(), event).await?;
        let found = found.ok_or(AppError::NotFound)?;
        if !found.what.is_on_sale(now) {
            return Err(Conflict::EventOver.into());
        }
        let stock = events::store::events_stock(self.db.reads(), &[event], now).await?;
        if stock
            .get(&event)
            .is_some_and(|stock| stock.available >= quantity)
        {
            return Err(Conflict::TicketsForSale.into());
        }
        Ok(())
    }

    async fn own_ones(&self, viewer: &Viewer, event: Option<EventId>) -> FaultResult<Vec<Waiting>> {
        let now = self.clock.now();
        let user = viewer.user.id;
        let rows = store::entries_own(self.db.reads(), user, event, now, OWN_MAX).await?;
        Ok(rows.into_iter().map(|row| row.waiting).collect())
    }

    async fn say_yes(&self, token: &WaitingToken) -> FaultResult<Waiting> {
        let (token, now) = (token.clone(), self.clock.now());
        let row: Option<EntryRow> = self
            .db
            .write(move |conn| {
                Box::pin(async move { store::entry_confirm(conn, &token, now).await })
            })
            .await?;
        Ok(row.ok_or_else(rules::dead_link)?.waiting)
    }

    async fn delete(&self, which: Which) -> FaultResult<Option<EventId>> {
        let events: Vec<EventId> = self
            .db
            .write(move |conn| Box::pin(async move { store::entries_delete(conn, which).await }))
            .await?;
        Ok(events.first().copied())
    }

    /// Deletes entries that were not confirmed in time and those of events that were over days ago.
    /// Returns how many.
    pub async fn forget_old(&self) -> FaultResult<usize> {
        let now = self.clock.now();
        let gone: Vec<EventId> = self
            .db
            .write(move |conn| {
                Box::pin(async move {
                    store::rounds_delete_old(conn, now).await?;
                    store::entries_delete(conn, Which::Old(now)).await
                })
            })
            .await?;
        Ok(gone.len())
    }
}

/// Puts a user's own address in line, unless they have just left for good.
async fn join(
    conn: &mut Conn,
    event: EventId,
    user: UserId,
    asked: &Checked,
    now: Moment,
) -> FaultResult<()> {
    if !accounts::store::user_lock(conn, user, None).await? {
        return Err(AppError::SignInRequired.into());
    }
    let due = store::entry_join(conn, event, user, asked, now).await?;
    if let Some(entry) = due {
        let subject = store::mail_insert(conn, entry, now).await?;
        mail::queue(conn, Kind::WaitingJoined, subject, now).await?;
    }
    Ok(())
}

async fn ask_to_confirm(
    conn: &mut Conn,
    event: EventId,
    asked: &Checked,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let due = store::entry_ask(conn, event, asked, now, now - APART).await?;
    if let Some(entry) = due {
        let subject = store::mail_insert(conn, entry, now).await?;
        mail::queue_in_turn(conn, Kind::WaitingConfirm, subject, &asked.email_key, now).await?;
    }
    Ok(())
}

/// Nothing is left of somebody who leaves: neither under their account nor under `email`, if that is
/// theirs beyond doubt.
pub async fn forget_all_of(
    conn: &mut Conn,
    user: UserId,
    email: Option<&str>,
) -> Result<(), sqlx::Error> {
    let email_key = email.map(accounts::email_key);
    store::entries_delete(conn, Which::AllOf(user, email_key)).await?;
    Ok(())
}

#[async_trait]
impl WaitingList for WaitingService {
    async fn join(
        &self,
        viewer: Option<&Viewer>,
        event: EventId,
        request: JoinWaitingList,
    ) -> AppResult<Joined> {
        Ok(self.ask(viewer, event, request).await?)
    }

    async fn own(&self, viewer: &Viewer, event: EventId) -> AppResult<Option<Waiting>> {
        Ok(self.own_ones(viewer, Some(event)).await?.into_iter().next())
    }

    async fn all_own(&self, viewer: &Viewer) -> AppResult<Vec<Waiting>> {
        Ok(self.own_ones(viewer, None).await?)
    }

    async fn leave(&self, viewer: &Viewer, event: EventId) -> AppResult<()> {
        let left = self.delete(Which::Own(viewer.user.id, event)).await?;
        left.map(|_| ()).ok_or(AppError::NotFound)
    }

    async fn linked(&self, token: &WaitingToken) -> AppResult<Option<Waiting>> {
        let now = self.clock.now();
        let row = store::entry_linked(self.db.reads(), token, now).await;
        Ok(row.map_err(Fault::from)?.map(|row| row.waiting))
    }

    async fn confirm(&self, token: &WaitingToken) -> AppResult<Waiting> {
        rules::check_token(token)?;
        Ok(self.say_yes(token).await?)
    }

    async fn leave_by_link(&self, token: &WaitingToken) -> AppResult<Option<EventId>> {
        rules::check_token(token)?;
        Ok(self.delete(Which::Linked(token.clone())).await?)
    }
}
