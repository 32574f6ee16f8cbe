//! Asking for refunds, and seeing them.

use super::{
    store::{self, Reason, RefundRow, Whose},
    transitions::{self, Begin, Refundable},
};
use crate::{
    accounts::{Operators, Standing},
    ledger,
    orders::store as orders,
    payments::{Engine, store as payments},
    tickets::holds,
};
use async_trait::async_trait;
use model::{
    Moment,
    accounts::Viewer,
    error::{AppError, AppResult, Conflict},
    ids::{OrderId, RefundId, TicketId, UserId},
    money::MinorUnits,
    orders::TICKETS_PER_ORDER_MAX,
    refunds::{AskRefund, Owed, Refund, Refunds, TicketRefund},
};
use platform::{
    clock::SharedClock,
    crash,
    db::{Conn, Db},
    fault::{Fault, FaultResult},
};
use std::{sync::Arc, time::Duration};
use tracing::Instrument;

/// How long who asks waits for Stripe before the refund goes on by itself.
const ASK_WAIT: Duration = Duration::from_secs(10);

/// The most tickets whose refunds one page is told of.
const TICKETS_MAX: i64 = 200;

/// The rules of refunds.
#[derive(Clone)]
pub(crate) struct RefundsService {
    db: Db,
    clock: SharedClock,
    engine: Arc<Engine>,
    operators: Operators,
}

/// What is to be paid back.
enum Which {
    Tickets(Vec<TicketId>),
    Order(OrderId),
}

impl RefundsService {
    /// Refunds whose calls `engine` makes.
    pub(crate) fn new(
        db: Db,
        clock: SharedClock,
        engine: Arc<Engine>,
        operators: Operators,
    ) -> Self {
        Self {
            db,
            clock,
            engine,
            operators,
        }
    }

    async fn begin_refund(&self, asker: UserId, request: AskRefund) -> FaultResult<Refund> {
        let which = check(request)?;
        let (now, operators) = (self.clock.now(), self.operators);
        let begun = self
            .db
            .write(move |conn| {
                Box::pin(async move {
                    let standing = operators.standing(&mut *conn, asker).await?;
                    let begun = begin_in_txn(conn, asker, standing, which, now).await;
                    begun.map_err(|fault| match fault {
                        // What is not theirs to refund as a seller, they might as an operator.
                        Fault::Refused(error @ (AppError::NotFound | AppError::Forbidden)) => {
                            standing.refusal(error).into()
                        }
                        other => other,
                    })
                })
            })
            .await;
        let refund = match begun {
            // Another asked for the same between our look and our write.
            Err(Fault::Database(sqlx::Error::Database(error))) if error.is_unique_violation() => {
                return Err(Conflict::RefundInProgress.into());
            }
            begun => begun?,
        };
        let Some(row) = store::refund_find(self.db.reads(), refund).await? else {
            return Err(Fault::unexpected("a refund vanished", "just written"));
        };
        crash::point("refund_begun").await;
        let engine = self.engine.clone();
        let payment = row.payment;
        // It goes on if nobody waits any more; an unanswered call is the sweep's.
        let driving = tokio::spawn(async move { engine.drive(payment).await }.in_current_span());
        if let Ok(Ok(driven)) = tokio::time::timeout(ASK_WAIT, driving).await {
            driven?;
        }
        self.show(refund).await
    }

    async fn show(&self, id: RefundId) -> FaultResult<Refund> {
        let row = store::refund_find(self.db.reads(), id)
            .await?
            .ok_or(AppError::NotFound)?;
        Ok(self.dress(vec![row]).await?.remove(0))
    }

    async fn dress(&self, rows: Vec<RefundRow>) -> FaultResult<Vec<Refund>> {
        let ids: Vec<RefundId> = rows.iter().map(|row| row.id).collect();
        let mut tickets = store::refunds_tickets(self.db.reads(), &ids).await?;
        Ok(rows
            .iter()
            .map(|row| row.refund(tickets.remove(&row.id).unwrap_or_default()))
            .collect())
    }

    /// A refund is seen by its order's buyer, by who asked for it, and by operators.
    async fn find_visible(&self, viewer: UserId, id: RefundId) -> FaultResult<Refund> {
        let row = store::refund_find(self.db.reads(), id)
            .await?
            .ok_or(AppError::NotFound)?;
        let order = orders::order_find(self.db.reads(), row.order).await?;
        if row.asked_by != Some(viewer) && order.is_none_or(|order| order.buyer != viewer) {
            let standing = self.operators.standing(self.db.reads(), viewer).await?;
            if !standing.may_act() {
                return Err(standing.refusal(AppError::NotFound).into());
            }
        }
        self.show(id).await
    }

    async fn list_own(&self, buyer: UserId, order: OrderId) -> FaultResult<Vec<Refund>> {
        orders::order_find(self.db.reads(), order)
            .await?
            .filter(|row| row.buyer == buyer)
            .ok_or(AppError::NotFound)?;
        let rows = store::refunds_of_order(self.db.reads(), order).await?;
        self.dress(rows).await
    }

    async fn of_tickets(&self, whose: Whose) -> FaultResult<Vec<TicketRefund>> {
        Ok(store::ticket_refunds(self.db.reads(), whose, TICKETS_MAX).await?)
    }
}

fn check(request: AskRefund) -> Result<Which, AppError> {
    match (request.ticket_ids, request.order_id) {
        (Some(mut tickets), None) => {
            tickets.sort_unstable();
            tickets.dedup();
            if tickets.is_empty() || tickets.len() > TICKETS_PER_ORDER_MAX {
                let message = format!("Name 1 to {TICKETS_PER_ORDER_MAX} tickets.");
                return Err(AppError::invalid("ticketIds", message));
            }
            Ok(Which::Tickets(tickets))
        }
        (None, Some(order)) => Ok(Which::Order(order)),
        _ => {
            let message = "Name the tickets to refund, or an order.";
            Err(AppError::invalid("ticketIds", message))
        }
    }
}

/// The transaction: everything that it decides by is read behind the locks of the order's tickets.
async fn begin_in_txn(
    conn: &mut Conn,
    asker: UserId,
    standing: Standing,
    which: Which,
    now: Moment,
) -> FaultResult<RefundId> {
    let operator = standing.may_act();
    let order = match &which {
        Which::Order(order) => *order,
        Which::Tickets(tickets) => order_of(conn, asker, operator, tickets).await?,
    };
    holds::order_tickets_lock(conn, order).await?;
    let refundable = transitions::refundable(conn, order).await?;
    let chosen: Vec<&Refundable> = match &which {
        Which::Order(_) => refundable.iter().collect(),
        Which::Tickets(tickets) => refundable
            .iter()
            .filter(|found| tickets.contains(&found.ticket))
            .collect(),
    };
    let theirs = operator || chosen.iter().all(|found| found.seller == asker);
    let wanted = match &which {
        Which::Order(_) => chosen.len().max(1),
        Which::Tickets(tickets) => tickets.len(),
    };
    if chosen.len() != wanted {
        // Who sells the tickets that they named may hear how they stand.
        let may_know = operator || matches!(which, Which::Tickets(_));
        return Err(why_not(conn, asker, may_know, order).await?.into());
    }
    if !theirs {
        return Err(AppError::NotFound.into());
    }
    let payment = payments::payment_captured(conn, order)
        .await?
        .ok_or_else(|| Fault::unexpected("a sold ticket that nobody paid", order.to_string()))?;
    if chosen.iter().any(|found| found.frozen.0) {
        return Err(Conflict::PaymentDisputed.into());
    }
    let wanted: MinorUnits = chosen.iter().map(|found| found.price_minor).sum();
    if wanted > store::left_to_refund(conn, payment.id).await? {
        return Err(Conflict::RefundedElsewhere.into());
    }
    let lines = chosen
        .iter()
        .map(|found| (found.ticket, found.price_minor))
        .collect();
    let begin = Begin {
        payment,
        reason: if operator {
            Reason::Operator
        } else {
            Reason::Seller
        },
        asked_by: asker,
        lines,
        now,
    };
    transitions::begin(conn, begin).await
}

/// The order that these tickets were sold in. Errors: `NotFound` where one is unknown or another's
/// to sell, `NotSold`, `Invalid` where they are of several orders.
async fn order_of(
    conn: &mut Conn,
    asker: UserId,
    operator: bool,
    tickets: &[TicketId],
) -> FaultResult<OrderId> {
    let found = orders::live_orders_of(conn, tickets).await?;
    if found.len() != tickets.len() || !operator && found.iter().any(|of| of.seller != asker) {
        return Err(AppError::NotFound.into());
    }
    let mut orders: Vec<Option<OrderId>> = found.iter().map(|of| of.order).collect();
    orders.dedup();
    match orders.as_slice() {
        [Some(order)] => Ok(*order),
        orders if orders.contains(&None) => Err(Conflict::NotSold.into()),
        _ => {
            let message = "These tickets were sold in different orders: refund each by itself.";
            Err(AppError::invalid("ticketIds", message).into())
        }
    }
}

/// The losing side: says what stands in the way, to who may know.
async fn why_not(
    conn: &mut Conn,
    asker: UserId,
    may_know: bool,
    order: OrderId,
) -> FaultResult<AppError> {
    let mut sellers = ledger::shares_of_order(conn, order, None).await?;
    sellers.retain(|share| share.account != ledger::Account::Seller(asker));
    if !may_know && !sellers.is_empty() || orders::order_find(&mut *conn, order).await?.is_none() {
        return Ok(AppError::NotFound);
    }
    let under_way = store::refunds_of_order(&mut *conn, order)
        .await?
        .iter()
        .any(|refund| matches!(refund.state, store::State::Intended | store::State::Pending));
    Ok(if under_way {
        Conflict::RefundInProgress.into()
    } else {
        Conflict::NotSold.into()
    })
}

#[async_trait]
impl Refunds for RefundsService {
    async fn ask(&self, viewer: &Viewer, request: AskRefund) -> AppResult<Refund> {
        Ok(self.begin_refund(viewer.user.id, request).await?)
    }

    async fn get(&self, viewer: &Viewer, id: RefundId) -> AppResult<Refund> {
        Ok(self.find_visible(viewer.user.id, id).await?)
    }

    async fn of_order(&self, viewer: &Viewer, order: OrderId) -> AppResult<Vec<Refund>> {
        Ok(self.list_own(viewer.user.id, order).await?)
    }

    async fn of_bought(&self, viewer: &Viewer) -> AppResult<Vec<TicketRefund>> {
        Ok(self.of_tickets(Whose::BoughtBy(viewer.user.id)).await?)
    }

    async fn of_sold(&self, viewer: &Viewer) -> AppResult<Vec<TicketRefund>> {
        Ok(self.of_tickets(Whose::SoldBy(viewer.user.id)).await?)
    }

    async fn of_listings(
        &self,
        viewer: &Viewer,
        tickets: &[TicketId],
    ) -> AppResult<Vec<TicketRefund>> {
        let refunds = store::listings_refunds(self.db.reads(), viewer.user.id, tickets).await;
        Ok(refunds.map_err(Fault::from)?)
    }

    async fn owed(&self, viewer: &Viewer) -> AppResult<Vec<Owed>> {
        let owed = ledger::owed(self.db.reads(), viewer.user.id).await;
        Ok(owed.map_err(Fault::from)?)
    }
}
