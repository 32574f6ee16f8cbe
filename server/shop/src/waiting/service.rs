//! Joining the list, confirming an address, leaving, and deleting old entries.

use super::{
    rules::{self, Checked, MAIL_INTERVAL},
    store::{self, EntryRow, Selection},
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

/// Implements the port [`WaitingList`].
#[derive(Clone)]
pub struct WaitingService {
    db: Db,
    clock: SharedClock,
    limits: Arc<Limits>,
}

impl WaitingService {
    pub fn new(db: Db, clock: SharedClock, limits: Arc<Limits>) -> Self {
        Self { db, clock, limits }
    }

    async fn join(
        &self,
        viewer: Option<&Viewer>,
        event: EventId,
        request: JoinWaitingList,
    ) -> FaultResult<Joined> {
        let checked = rules::check(viewer, &request)?;
        let now = self.clock.now();
        self.check_sold_out(event, checked.quantity, now).await?;
        // Counted whether or not a mail is sent, so that the response does not reveal which it was.
        let own = viewer.filter(|_| checked.own).map(|viewer| viewer.user.id);
        self.limits
            .take(&Key::WaitingFrom(request::network()))
            .await?;
        // Requests by others for an address must not block its owner.
        if own.is_none() {
            self.limits
                .take(&Key::WaitingOf(checked.email_key.clone()))
                .await?;
        }
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    match own {
                        Some(user) => join_own(conn, event, user, &checked, now).await,
                        None => Ok(request_confirmation(conn, event, &checked, now).await?),
                    }
                })
            })
            .await?;
        Ok(Joined {
            confirmed: own.is_some(),
        })
    }

    /// Errors: `NotFound`; `EventOver`; `TicketsForSale` if enough tickets are available.
    async fn check_sold_out(&self, event: EventId, quantity: i64, now: Moment) -> FaultResult<()> {
        let found = events::store::find(self.db.reads(), event).await?;
        let found = found.ok_or(AppError::NotFound)?;
        if !found.what.is_on_sale(now) {
            return Err(Conflict::EventOver.into());
        }
        let stock = events::store::find_stock(self.db.reads(), &[event], now).await?;
        if stock
            .get(&event)
            .is_some_and(|stock| stock.available >= quantity)
        {
            return Err(Conflict::TicketsForSale.into());
        }
        Ok(())
    }

    async fn list_own_of(
        &self,
        viewer: &Viewer,
        event: Option<EventId>,
    ) -> FaultResult<Vec<Waiting>> {
        let now = self.clock.now();
        let user = viewer.user.id;
        let rows = store::list_own(self.db.reads(), user, event, now, OWN_MAX).await?;
        Ok(rows.into_iter().map(|row| row.waiting).collect())
    }

    async fn confirm(&self, token: &WaitingToken) -> FaultResult<Waiting> {
        rules::check_token(token)?;
        let (token, now) = (token.clone(), self.clock.now());
        let row: Option<EntryRow> = self
            .db
            .write(move |conn| Box::pin(async move { store::confirm(conn, &token, now).await }))
            .await?;
        Ok(row.ok_or_else(rules::dead_link)?.waiting)
    }

    /// Returns the event of a deleted entry.
    async fn delete(&self, entries: Selection) -> FaultResult<Option<EventId>> {
        let events: Vec<EventId> = self
            .db
            .write(move |conn| Box::pin(async move { store::delete(conn, entries).await }))
            .await?;
        Ok(events.first().copied())
    }

    /// Deletes entries that were not confirmed in time, and those of events whose sales ended days ago.
    /// Returns the number deleted.
    pub async fn delete_old(&self) -> FaultResult<usize> {
        let now = self.clock.now();
        let deleted: Vec<EventId> = self
            .db
            .write(move |conn| {
                Box::pin(async move {
                    store::delete_old_rounds(conn, now).await?;
                    store::delete(conn, Selection::Old(now)).await
                })
            })
            .await?;
        Ok(deleted.len())
    }
}

/// Adds a user's own address. Errors: `SignInRequired` if the account has just been deleted.
async fn join_own(
    conn: &mut Conn,
    event: EventId,
    user: UserId,
    checked: &Checked,
    now: Moment,
) -> FaultResult<()> {
    if !accounts::store::lock(conn, user, None).await? {
        return Err(AppError::SignInRequired.into());
    }
    let due = store::join(conn, event, user, checked, now).await?;
    if let Some(entry) = due {
        let subject = store::insert_mail(conn, entry, now).await?;
        mail::queue(conn, Kind::WaitingJoined, subject, now).await?;
    }
    Ok(())
}

/// Queues a confirmation mail, unless the address is on the list or was mailed recently.
async fn request_confirmation(
    conn: &mut Conn,
    event: EventId,
    checked: &Checked,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let mailed_before = now - MAIL_INTERVAL;
    let due = store::request_confirmation(conn, event, checked, now, mailed_before).await?;
    if let Some(entry) = due {
        let subject = store::insert_mail(conn, entry, now).await?;
        mail::queue_or_delay(conn, Kind::WaitingConfirm, subject, &checked.email_key, now).await?;
    }
    Ok(())
}

/// Deletes all entries of a user, and of `email`, which the caller passes only if the user has verified it.
pub async fn delete_all_of_user(
    conn: &mut Conn,
    user: UserId,
    email: Option<&str>,
) -> Result<(), sqlx::Error> {
    let email_key = email.map(accounts::email_key);
    store::delete(conn, Selection::AllOf(user, email_key)).await?;
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
        Ok(self.join(viewer, event, request).await?)
    }

    async fn find_own(&self, viewer: &Viewer, event: EventId) -> AppResult<Option<Waiting>> {
        let entries = self.list_own_of(viewer, Some(event)).await?;
        Ok(entries.into_iter().next())
    }

    async fn list_own(&self, viewer: &Viewer) -> AppResult<Vec<Waiting>> {
        Ok(self.list_own_of(viewer, None).await?)
    }

    async fn leave(&self, viewer: &Viewer, event: EventId) -> AppResult<()> {
        let left = self.delete(Selection::Own(viewer.user.id, event)).await?;
        left.map(|_| ()).ok_or(AppError::NotFound)
    }

    async fn find_by_link(&self, token: &WaitingToken) -> AppResult<Option<Waiting>> {
        let now = self.clock.now();
        let row = store::find_by_link(self.db.reads(), token, now).await;
        Ok(row.map_err(Fault::from)?.map(|row| row.waiting))
    }

    async fn confirm(&self, token: &WaitingToken) -> AppResult<Waiting> {
        Ok(self.confirm(token).await?)
    }

    async fn leave_by_link(&self, token: &WaitingToken) -> AppResult<Option<EventId>> {
        rules::check_token(token)?;
        Ok(self.delete(Selection::Linked(token.clone())).await?)
    }
}
