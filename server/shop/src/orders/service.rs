//! Reserving, reading and cancelling orders.

use super::{
    reserve::{Attempted, Stop, attempt_reserve, hash},
    rules,
    state::State,
    store::{self, OrderRow},
    transitions::{self, PaymentVoid},
    usage::{self, HoldLimits},
};
use crate::tickets::holds::Rivals;
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
    /// From reserving, in seconds.
    pub hold_seconds: i64,
    /// Added once a payment has begun, in seconds.
    pub grace_seconds: i64,
}

impl Holds {
    /// From reserving.
    pub(crate) fn hold(self) -> Duration {
        of_seconds(self.hold_seconds)
    }

    /// Added once a payment has begun.
    pub(crate) fn grace(self) -> Duration {
        of_seconds(self.grace_seconds)
    }

    /// What a buyer may add to their time, once, and in how many last seconds of it: a third.
    pub fn more_seconds(self) -> i64 {
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

/// Wakes somebody when an order's hold ends. Only ever a help: the hold ends by the clock.
pub trait ExpirySchedule: Send + Sync {
    /// Must not block and may forget.
    fn schedule(&self, order: OrderId, hold_until: Moment);
}

/// How often a reservation starts again because a hold lapsed under its hands, or because rivals
/// had their hands on what it wanted.
const TRIES_MAX: usize = 16;
/// Orders on a page.
const LIMIT_DEFAULT: i64 = 20;
const LIMIT_MAX: i64 = 100;
/// Open orders that a viewer is shown beside other pages.
const OPEN_MAX: i64 = 10;

/// The rules of orders.
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
    /// Orders over `db`, holding tickets for `holds`, as many of them as `hold_limits` allow while
    /// `limits` are on. `payments` voids the payment of an order whose hold ends.
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

    async fn reserve_order(
        &self,
        buyer: UserId,
        request: Reserve,
        key: Option<&str>,
    ) -> FaultResult<Order> {
        let request = rules::check(request)?;
        let hash = hash(&request);
        let limits = self.limits.are_on().then_some(self.hold_limits);
        let network = limits
            .and_then(|limits| limits.tickets_per_network)
            .and_then(|_| network_of(request::address()))
            .map(|network| network.to_string());
        let mut rivals = Rivals::PassOver;
        for _ in 0..TRIES_MAX {
            let attempted = Attempted {
                buyer,
                request: request.clone(),
                key: key.map(str::to_owned),
                hash: hash.clone(),
                limits,
                network: network.clone(),
                clock: self.clock.clone(),
                hold: self.holds.hold(),
                rivals,
            };
            let attempt = self
                .db
                .write(|conn| Box::pin(async move { attempt_reserve(conn, attempted).await }))
                .await;
            match attempt {
                Ok(row) => {
                    crash::point("reserved").await;
                    self.expiry.schedule(row.id, row.hold_until);
                    return self.dress(*row, self.clock.now()).await;
                }
                Err(Stop::Lapsed(orders)) => self.expire_all(orders).await?,
                // Waiting and passing over in turns: who waited in vain, because a rival took
                // just that ticket, looks at all the others before waiting again.
                Err(Stop::Contended) => {
                    rivals = match rivals {
                        Rivals::PassOver => Rivals::WaitFor,
                        Rivals::WaitFor => Rivals::PassOver,
                    };
                }
                // Another won between our look and our write: look again.
                Err(Stop::Fault(Fault::Database(error))) if is_write_conflict(&error) => {}
                Err(Stop::Fault(fault)) => return Err(fault),
            }
        }
        Err(AppError::Conflict {
            conflict: Conflict::TicketReserved,
            retry_after_seconds: Some(1),
        }
        .into())
    }

    /// Expires orders one by one, each in a transaction of its own: a transaction that held the
    /// tickets of several orders could wait in a circle with another.
    async fn expire_all(&self, orders: Vec<OrderId>) -> FaultResult<()> {
        for order in orders {
            self.expire(order).await?;
        }
        Ok(())
    }

    /// Expires one order if its time is over. Returns whether this call did it.
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

    /// Expires what is due, at most `limit` orders. Returns how many it were.
    pub(crate) async fn expire_due(&self, limit: i64) -> FaultResult<usize> {
        let due = store::orders_due(self.db.reads(), self.clock.now(), limit).await?;
        let mut expired = 0;
        for order in due {
            expired += usize::from(self.expire(order).await?);
        }
        Ok(expired)
    }

    /// Releases ended orders that still count as unpaid. Returns how many it were.
    pub async fn release_ended(&self) -> FaultResult<usize> {
        usage::release_ended(&self.db).await
    }

    /// Adds the tickets to an order's row.
    async fn dress(&self, row: OrderRow, now: Moment) -> FaultResult<Order> {
        let mut tickets = store::orders_tickets(self.db.reads(), &[row.id], now).await?;
        Ok(row.order(
            tickets.remove(&row.id).unwrap_or_default(),
            self.holds.more_seconds(),
            now,
        ))
    }

    async fn page(&self, buyer: UserId, asked: OrderQuery) -> FaultResult<OrderList> {
        let limit = asked.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(AppError::invalid("limit", "Ask for 1 to 100.").into());
        }
        let before = asked
            .cursor
            .map(|cursor| cursor.parse::<OrderId>())
            .transpose()
            .map_err(|_| AppError::invalid("cursor", "This isn't a cursor from here."))?;
        let now = self.clock.now();
        let mut rows = store::orders_page(self.db.reads(), buyer, before, limit + 1).await?;
        let more = i64::try_from(rows.len()).is_ok_and(|found| found > limit);
        if more {
            rows.pop();
        }
        let ids: Vec<OrderId> = rows.iter().map(|row| row.id).collect();
        let mut tickets = store::orders_tickets(self.db.reads(), &ids, now).await?;
        let next = rows.last().filter(|_| more).map(|row| row.id.to_string());
        let orders = rows
            .iter()
            .map(|row| {
                row.order(
                    tickets.remove(&row.id).unwrap_or_default(),
                    self.holds.more_seconds(),
                    now,
                )
            })
            .collect();
        Ok(OrderList { orders, next })
    }

    async fn find_own(&self, buyer: UserId, id: OrderId) -> FaultResult<OrderRow> {
        store::order_find(self.db.reads(), id)
            .await?
            .filter(|row| row.buyer == buyer)
            .ok_or(Fault::Refused(AppError::NotFound))
    }

    async fn lengthen(&self, buyer: UserId, id: OrderId) -> FaultResult<Order> {
        let now = self.clock.now();
        let more = of_seconds(self.holds.more_seconds());
        let row = self
            .db
            .write(move |conn| {
                Box::pin(async move {
                    let taken = transitions::extend(conn, id, buyer, more, now).await?;
                    if let Some(row) = taken {
                        return Ok(row);
                    }
                    let row = store::order_find(conn, id)
                        .await?
                        .filter(|row| row.buyer == buyer)
                        .ok_or(AppError::NotFound)?;
                    Err(why_no_more_time(&row, more, now))
                })
            })
            .await?;
        self.expiry.schedule(id, row.hold_until);
        self.dress(row, now).await
    }

    /// What to ask for instead of tickets that are gone: as many that cost no more in the same
    /// section, or where there is none, as many of the same offer. Nothing, if they were not alike.
    fn alike(order: &Order) -> Option<Reserve> {
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

    async fn again(&self, viewer: &Viewer, id: OrderId, key: Option<&str>) -> AppResult<Order> {
        let ended = self.get(viewer, id).await?;
        match ended.status {
            OrderStatus::Expired | OrderStatus::Cancelled => {}
            status => return Err(rules::refusal(status).into()),
        }
        let ticket_ids = ended.tickets.iter().map(|ticket| ticket.id).collect();
        let same = Reserve::Named(ReserveNamed { ticket_ids });
        match self.reserve(viewer, same, key).await {
            Err(
                gone @ AppError::Conflict {
                    conflict:
                        Conflict::TicketReserved | Conflict::TicketSold | Conflict::TicketWithdrawn,
                    ..
                },
            ) => {
                let alike = Self::alike(&ended).ok_or(gone)?;
                // Another request, so another attempt; as repeatable as the first.
                let key = key.map(|key| format!("{key}:alike"));
                self.reserve(viewer, alike, key.as_deref()).await
            }
            answered => answered,
        }
    }

    async fn cancel_own(
        &self,
        buyer: UserId,
        id: OrderId,
        expected: Option<i64>,
    ) -> FaultResult<()> {
        let (payments, now) = (Arc::clone(&self.payments), self.clock.now());
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    if transitions::cancel(conn, id, buyer, expected, &*payments, now).await? {
                        return Ok(());
                    }
                    let row = store::order_find(conn, id)
                        .await?
                        .filter(|row| row.buyer == buyer)
                        .ok_or(AppError::NotFound)?;
                    why_not_cancelled(&row, expected, now)
                })
            })
            .await
    }
}

/// The losing side of asking for more time.
fn why_no_more_time(row: &OrderRow, more: Duration, now: Moment) -> Fault {
    let open = matches!(row.state, State::Created | State::AwaitingPayment);
    if !open {
        return rules::refusal(row.state.seen(false)).into();
    }
    if row.expires_at <= now {
        return Conflict::OrderExpired.into();
    }
    if row.extended.0 {
        return Conflict::NoMoreTime.into();
    }
    if row.expires_at.since(now) > more {
        return Conflict::TooEarlyForMoreTime.into();
    }
    Conflict::PaymentInProgress.into()
}

/// The losing side of a cancellation: says what came first.
fn why_not_cancelled(row: &OrderRow, expected: Option<i64>, now: Moment) -> FaultResult<()> {
    if row.state == State::Cancelled {
        return Ok(());
    }
    let status = row.state.seen(row.hold_until <= now);
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
        let reserved = self.reserve_order(viewer.user.id, request, key).await;
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
        Ok(self.page(viewer.user.id, query).await?)
    }

    async fn get(&self, viewer: &Viewer, id: OrderId) -> AppResult<Order> {
        let row = self.find_own(viewer.user.id, id).await?;
        Ok(self.dress(row, self.clock.now()).await?)
    }

    async fn open(&self, viewer: &Viewer) -> AppResult<Vec<OpenOrder>> {
        let now = self.clock.now();
        let open = store::orders_open(self.db.reads(), viewer.user.id, now, OPEN_MAX).await;
        Ok(open.map_err(Fault::from)?)
    }

    async fn more_time(&self, viewer: &Viewer, id: OrderId) -> AppResult<Order> {
        Ok(self.lengthen(viewer.user.id, id).await?)
    }

    async fn reserve_again(
        &self,
        viewer: &Viewer,
        id: OrderId,
        key: Option<&str>,
    ) -> AppResult<Order> {
        self.again(viewer, id, key).await
    }

    async fn cancel(&self, viewer: &Viewer, id: OrderId, expected: Option<i64>) -> AppResult<()> {
        self.cancel_own(viewer.user.id, id, expected).await?;
        self.payments.send_soon();
        Ok(())
    }
}
