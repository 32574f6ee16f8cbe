//! Implements the port [`Orders`]: reserving, reading, extending, cancelling and expiring orders.
//!
//! Does not write the table itself: `reserve.rs` inserts orders and `transitions.rs` changes them.

use super::{
    reserve::{self, Attempt, AttemptError},
    rules,
    state::State,
    store::{self, OrderRow},
    transitions::{self, PaymentVoid},
    usage::{self, HoldLimits},
};
use crate::{paging::Page, tickets::holds::LockedRows};
use async_trait::async_trait;
use model::{
    Moment,
    accounts::Viewer,
    error::{AppError, AppResult, Conflict},
    ids::{OrderId, UserId},
    orders::{
        OfferOf, OpenOrder, Order, OrderList, OrderQuery, OrderStatus, Orders, Reserve, ReserveAny,
        ReserveNamed,
    },
    tickets::Ticket,
};
use platform::{
    clock::SharedClock,
    crash,
    db::{Db, is_write_conflict},
    fault::{Fault, FaultResult},
    limits::Limits,
    network::network_of,
    request,
};
use std::{sync::Arc, time::Duration};

/// How long tickets are held.
#[derive(Debug, Clone, Copy)]
pub struct Holds {
    /// Length of a hold, counted from the reservation.
    pub hold_seconds: i64,
    /// Added to the hold once a payment has begun.
    pub grace_seconds: i64,
}

impl Holds {
    pub(crate) fn hold(self) -> Duration {
        of_seconds(self.hold_seconds)
    }

    pub(crate) fn grace(self) -> Duration {
        of_seconds(self.grace_seconds)
    }

    /// The length of the one extension that a buyer may ask for: a third of the hold. It is available
    /// once no more than this is left.
    pub fn extension_seconds(self) -> i64 {
        (self.hold_seconds / 3).max(1)
    }
}

fn of_seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

impl Default for Holds {
    fn default() -> Self {
        Self {
            hold_seconds: 900,
            grace_seconds: 60,
        }
    }
}

/// Schedules the expiry of an order. An optimisation only: whether a hold has ended is decided by the
/// clock, and a periodic task expires orders whose job was lost.
pub trait ExpirySchedule: Send + Sync {
    /// Must not block. May drop the job.
    fn schedule(&self, order: OrderId, hold_until: Moment);
}

/// Attempts of one reservation. An attempt is repeated if it found lapsed orders, or if the tickets were
/// locked by concurrent transactions.
const ATTEMPTS_MAX: usize = 16;
/// Orders per page of [`Orders::list`].
/// The most orders that [`Orders::list_open`] returns.
const OPEN_MAX: i64 = 10;

#[derive(Clone)]
pub struct OrdersService {
    db: Db,
    clock: SharedClock,
    holds: Holds,
    hold_limits: HoldLimits,
    limits: Arc<Limits>,
    expiry: Arc<dyn ExpirySchedule>,
    payments: Arc<dyn PaymentVoid>,
}

impl OrdersService {
    /// `hold_limits` apply only while `limits` are on. `payments` voids the payment of an order whose hold
    /// ends.
    pub(crate) fn new(
        db: Db,
        clock: SharedClock,
        holds: Holds,
        hold_limits: HoldLimits,
        limits: Arc<Limits>,
        expiry: Arc<dyn ExpirySchedule>,
        payments: Arc<dyn PaymentVoid>,
    ) -> Self {
        Self {
            db,
            clock,
            holds,
            hold_limits,
            limits,
            expiry,
            payments,
        }
    }

    async fn reserve(
        &self,
        buyer: UserId,
        request: Reserve,
        key: Option<&str>,
    ) -> FaultResult<Order> {
        let request = rules::check(request)?;
        let hash = reserve::hash(&request);
        let limits = self.limits.are_on().then_some(self.hold_limits);
        let network = limits
            .and_then(|limits| limits.tickets_per_network)
            .and_then(|_| network_of(request::address()))
            .map(|network| network.to_string());
        let mut locked_rows = LockedRows::Skip;
        for _ in 0..ATTEMPTS_MAX {
            let attempt = Attempt {
                buyer,
                request: request.clone(),
                key: key.map(str::to_owned),
                hash: hash.clone(),
                limits,
                network: network.clone(),
                clock: self.clock.clone(),
                hold: self.holds.hold(),
                locked_rows,
            };
            let reserved = self
                .db
                .write(|conn| Box::pin(async move { reserve::reserve(conn, attempt).await }))
                .await;
            match reserved {
                Ok(row) => {
                    crash::point("reserved").await;
                    self.expiry.schedule(row.id, row.hold_until);
                    return self.with_tickets(*row, self.clock.now()).await;
                }
                Err(AttemptError::Lapsed(orders)) => self.expire_all(orders).await?,
                // Alternate between waiting for locked tickets and skipping them: if the awaited ticket
                // was sold, the next attempt considers all others before it waits again.
                Err(AttemptError::Contended) => {
                    locked_rows = match locked_rows {
                        LockedRows::Skip => LockedRows::Wait,
                        LockedRows::Wait => LockedRows::Skip,
                    };
                }
                // A concurrent transaction committed between this one's read and write; retry.
                Err(AttemptError::Fault(Fault::Database(error))) if is_write_conflict(&error) => {}
                Err(AttemptError::Fault(fault)) => return Err(fault),
            }
        }
        Err(AppError::Conflict {
            conflict: Conflict::TicketReserved,
            retry_after_seconds: Some(1),
        }
        .into())
    }

    /// Expires each order in a separate transaction: locking the tickets of several orders in one
    /// transaction could deadlock.
    async fn expire_all(&self, orders: Vec<OrderId>) -> FaultResult<()> {
        for order in orders {
            self.expire(order).await?;
        }
        Ok(())
    }

    /// Expires an order whose hold has ended. Returns whether this call expired it.
    pub async fn expire(&self, order: OrderId) -> FaultResult<bool> {
        let (payments, now) = (Arc::clone(&self.payments), self.clock.now());
        let expired = self
            .db
            .write(move |conn| {
                Box::pin(
                    async move { Ok(transitions::expire(conn, order, &*payments, now).await?) },
                )
            })
            .await;
        crash::point("expired").await;
        expired
    }

    /// Expires up to `limit` orders whose hold has ended. Returns the number of orders expired.
    pub(crate) async fn expire_due(&self, limit: i64) -> FaultResult<usize> {
        let due = store::list_due(self.db.reads(), self.clock.now(), limit).await?;
        let mut expired = 0;
        for order in due {
            expired += usize::from(self.expire(order).await?);
        }
        Ok(expired)
    }

    /// Releases the hold usage of ended orders that are still counted. Returns the number released.
    pub async fn release_ended(&self) -> FaultResult<usize> {
        usage::release_ended(&self.db).await
    }

    async fn with_tickets(&self, row: OrderRow, now: Moment) -> FaultResult<Order> {
        let mut tickets = store::list_tickets(self.db.reads(), &[row.id], now).await?;
        Ok(row.order(
            tickets.remove(&row.id).unwrap_or_default(),
            self.holds.extension_seconds(),
            now,
        ))
    }

    async fn list(&self, buyer: UserId, query: OrderQuery) -> FaultResult<OrderList> {
        let page = Page::<OrderId>::requested(query.limit, query.cursor.as_deref())?;
        let now = self.clock.now();
        let mut rows = store::list(self.db.reads(), buyer, page.after, page.rows_to_read()).await?;
        let next = page.end(&mut rows, |row| row.id);
        let ids: Vec<OrderId> = rows.iter().map(|row| row.id).collect();
        let mut tickets = store::list_tickets(self.db.reads(), &ids, now).await?;
        let orders = rows
            .iter()
            .map(|row| {
                row.order(
                    tickets.remove(&row.id).unwrap_or_default(),
                    self.holds.extension_seconds(),
                    now,
                )
            })
            .collect();
        Ok(OrderList { orders, next })
    }

    /// Errors: `NotFound`, also if the order is another buyer's.
    async fn find_own(&self, buyer: UserId, id: OrderId) -> FaultResult<OrderRow> {
        store::find(self.db.reads(), id)
            .await?
            .filter(|row| row.buyer == buyer)
            .ok_or(Fault::Refused(AppError::NotFound))
    }

    async fn extend_hold(&self, buyer: UserId, id: OrderId) -> FaultResult<Order> {
        let now = self.clock.now();
        let extension = of_seconds(self.holds.extension_seconds());
        let row = self
            .db
            .write(move |conn| {
                Box::pin(async move {
                    let extended =
                        transitions::extend_hold(conn, id, buyer, extension, now).await?;
                    if let Some(row) = extended {
                        return Ok(row);
                    }
                    let row = store::find(conn, id)
                        .await?
                        .filter(|row| row.buyer == buyer)
                        .ok_or(AppError::NotFound)?;
                    Err(extension_refusal(&row, extension, now))
                })
            })
            .await?;
        self.expiry.schedule(id, row.hold_until);
        self.with_tickets(row, now).await
    }

    /// The request that replaces an order whose tickets are no longer available: the same number of tickets
    /// in the same section that cost no more, or of the same offer if they have no section. `None` if the
    /// order's tickets differ in section or offer.
    fn substitute(order: &Order) -> Option<Reserve> {
        let first = order.tickets.first()?;
        let all = |same: fn(&Ticket, &Ticket) -> bool| {
            order.tickets.iter().all(|ticket| same(ticket, first))
        };
        let offer = match &first.section {
            Some(_) if all(|one, other| one.section == other.section) => None,
            None if all(|one, other| {
                one.label == other.label
                    && one.seller_id == other.seller_id
                    && one.price_minor == other.price_minor
                    && one.face_value_minor == other.face_value_minor
            }) =>
            {
                Some(OfferOf {
                    seller_id: first.seller_id,
                    price_minor: first.price_minor,
                    face_value_minor: first.face_value_minor,
                })
            }
            _ => return None,
        };
        Some(Reserve::Any(ReserveAny {
            event_id: first.event_id,
            quantity: i64::try_from(order.tickets.len()).ok()?,
            section: first.section.clone(),
            max_price_minor: order.tickets.iter().map(|ticket| ticket.price_minor).max(),
            offer,
        }))
    }

    async fn cancel(&self, buyer: UserId, id: OrderId, expected: Option<i64>) -> FaultResult<()> {
        let (payments, now) = (Arc::clone(&self.payments), self.clock.now());
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    if transitions::cancel(conn, id, buyer, expected, &*payments, now).await? {
                        return Ok(());
                    }
                    let row = store::find(conn, id)
                        .await?
                        .filter(|row| row.buyer == buyer)
                        .ok_or(AppError::NotFound)?;
                    check_already_cancelled(&row, expected, now)
                })
            })
            .await
    }
}

/// Why a hold was not extended.
fn extension_refusal(row: &OrderRow, extension: Duration, now: Moment) -> Fault {
    let open = matches!(row.state, State::Created | State::AwaitingPayment);
    if !open {
        return rules::refusal(row.state.status(false)).into();
    }
    if row.expires_at <= now {
        return Conflict::OrderExpired.into();
    }
    if row.extended.0 {
        return Conflict::NoMoreTime.into();
    }
    if row.expires_at.since(now) > extension {
        return Conflict::TooEarlyForMoreTime.into();
    }
    Conflict::PaymentInProgress.into()
}

/// Why an order was not cancelled; `Ok` if it already is.
fn check_already_cancelled(row: &OrderRow, expected: Option<i64>, now: Moment) -> FaultResult<()> {
    if row.state == State::Cancelled {
        return Ok(());
    }
    let status = row.state.status(row.hold_until <= now);
    if expected.is_some_and(|expected| expected != row.version) {
        return Err(AppError::PreconditionFailed.into());
    }
    Err(rules::refusal(status).into())
}

#[async_trait]
impl Orders for OrdersService {
    async fn reserve(
        &self,
        viewer: &Viewer,
        request: Reserve,
        key: Option<&str>,
    ) -> AppResult<Order> {
        let reserved = self.reserve(viewer.user.id, request, key).await;
        let reserved = reserved.map_err(AppError::from);
        match &reserved {
            Ok(_) => metrics::counter!("stagedoor_reservations_total").increment(1),
            Err(error) => {
                metrics::counter!("stagedoor_refusals_total", "code" => error.code()).increment(1);
            }
        }
        reserved
    }

    async fn list(&self, viewer: &Viewer, query: OrderQuery) -> AppResult<OrderList> {
        Ok(self.list(viewer.user.id, query).await?)
    }

    async fn get(&self, viewer: &Viewer, id: OrderId) -> AppResult<Order> {
        let row = self.find_own(viewer.user.id, id).await?;
        Ok(self.with_tickets(row, self.clock.now()).await?)
    }

    async fn list_open(&self, viewer: &Viewer) -> AppResult<Vec<OpenOrder>> {
        let now = self.clock.now();
        let open = store::list_open(self.db.reads(), viewer.user.id, now, OPEN_MAX).await;
        Ok(open.map_err(Fault::from)?)
    }

    async fn extend_hold(&self, viewer: &Viewer, id: OrderId) -> AppResult<Order> {
        Ok(self.extend_hold(viewer.user.id, id).await?)
    }

    async fn reserve_again(
        &self,
        viewer: &Viewer,
        id: OrderId,
        key: Option<&str>,
    ) -> AppResult<Order> {
        let ended = self.get(viewer, id).await?;
        match ended.status {
            OrderStatus::Expired | OrderStatus::Cancelled => {}
            status => return Err(rules::refusal(status).into()),
        }
        let ticket_ids = ended.tickets.iter().map(|ticket| ticket.id).collect();
        let same = Reserve::Named(ReserveNamed { ticket_ids });
        match Orders::reserve(self, viewer, same, key).await {
            Err(
                gone @ AppError::Conflict {
                    conflict:
                        Conflict::TicketReserved | Conflict::TicketSold | Conflict::TicketWithdrawn,
                    ..
                },
            ) => {
                let substitute = Self::substitute(&ended).ok_or(gone)?;
                // A different request needs a different key, derived so that repeating the call repeats it.
                let key = key.map(|key| format!("{key}:alike"));
                Orders::reserve(self, viewer, substitute, key.as_deref()).await
            }
            answered => answered,
        }
    }

    async fn cancel(&self, viewer: &Viewer, id: OrderId, expected: Option<i64>) -> AppResult<()> {
        self.cancel(viewer.user.id, id, expected).await?;
        self.payments.send_soon();
        Ok(())
    }
}
