//! The service of refunds: requests them and reads them. Makes no calls to the provider itself.

use super::{
    store::{self, Reason, RefundRow, TicketRefundFilter},
    transitions::{self, BeginRefund, Refundable},
};
use crate::{
    accounts::{OperatorStatus, Operators},
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
    refunds::{CreateRefund, Owed, Refund, Refunds, TicketRefund},
};
use platform::{
    clock::SharedClock,
    crash,
    db::{Conn, Db},
    fault::{Fault, FaultResult},
};
use std::{sync::Arc, time::Duration};
use tracing::Instrument;

/// How long [`Refunds::create`] waits for Stripe before it answers `pending`.
const CREATE_WAIT: Duration = Duration::from_secs(10);

/// Limit of [`Refunds::list_bought`] and [`Refunds::list_sold`].
const TICKETS_MAX: i64 = 200;

#[derive(Clone)]
pub(crate) struct RefundsService {
    db: Db,
    clock: SharedClock,
    engine: Arc<Engine>,
    operators: Operators,
}

/// What is to be refunded.
enum Selection {
    Tickets(Vec<TicketId>),
    Order(OrderId),
}

impl RefundsService {
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

    async fn create(&self, user: UserId, request: CreateRefund) -> FaultResult<Refund> {
        let selection = check(request)?;
        let (now, operators) = (self.clock.now(), self.operators);
        let begun = self
            .db
            .write(move |conn| {
                Box::pin(async move {
                    let standing = operators.status_of(&mut *conn, user).await?;
                    let begun = create_in_transaction(conn, user, standing, selection, now).await;
                    begun.map_err(|fault| match fault {
                        // Permitted perhaps once an operator has set up a second factor.
                        Fault::Refused(error @ (AppError::NotFound | AppError::Forbidden)) => {
                            standing.refusal(error).into()
                        }
                        other => other,
                    })
                })
            })
            .await;
        let refund = match begun {
            // A concurrent request for the same ticket was faster.
            Err(Fault::Database(sqlx::Error::Database(error))) if error.is_unique_violation() => {
                return Err(Conflict::RefundInProgress.into());
            }
            begun => begun?,
        };
        let Some(row) = store::find(self.db.reads(), refund).await? else {
            return Err(Fault::unexpected(
                "an inserted refund is missing",
                refund.to_string(),
            ));
        };
        crash::point("refund_begun").await;
        let engine = self.engine.clone();
        let payment = row.payment;
        // Continues if the client disconnects; the sweep repeats an unanswered call.
        let driving = tokio::spawn(async move { engine.drive(payment).await }.in_current_span());
        if let Ok(Ok(driven)) = tokio::time::timeout(CREATE_WAIT, driving).await {
            driven?;
        }
        self.load(refund).await
    }

    async fn load(&self, id: RefundId) -> FaultResult<Refund> {
        let row = store::find(self.db.reads(), id)
            .await?
            .ok_or(AppError::NotFound)?;
        Ok(self.with_tickets(vec![row]).await?.remove(0))
    }

    async fn with_tickets(&self, rows: Vec<RefundRow>) -> FaultResult<Vec<Refund>> {
        let ids: Vec<RefundId> = rows.iter().map(|row| row.id).collect();
        let mut tickets = store::list_tickets(self.db.reads(), &ids).await?;
        Ok(rows
            .iter()
            .map(|row| row.refund(tickets.remove(&row.id).unwrap_or_default()))
            .collect())
    }

    /// Visible to the order's buyer, to the user who requested the refund, and to operators.
    async fn get(&self, viewer: UserId, id: RefundId) -> FaultResult<Refund> {
        let row = store::find(self.db.reads(), id)
            .await?
            .ok_or(AppError::NotFound)?;
        let order = orders::find(self.db.reads(), row.order).await?;
        if row.asked_by != Some(viewer) && order.is_none_or(|order| order.buyer != viewer) {
            let standing = self.operators.status_of(self.db.reads(), viewer).await?;
            if !standing.may_act() {
                return Err(standing.refusal(AppError::NotFound).into());
            }
        }
        self.load(id).await
    }

    async fn list_for_order(&self, buyer: UserId, order: OrderId) -> FaultResult<Vec<Refund>> {
        orders::find(self.db.reads(), order)
            .await?
            .filter(|row| row.buyer == buyer)
            .ok_or(AppError::NotFound)?;
        let rows = store::list_for_order(self.db.reads(), order).await?;
        self.with_tickets(rows).await
    }

    async fn list_by_ticket(&self, filter: TicketRefundFilter) -> FaultResult<Vec<TicketRefund>> {
        Ok(store::list_by_ticket(self.db.reads(), filter, TICKETS_MAX).await?)
    }
}

fn check(request: CreateRefund) -> Result<Selection, AppError> {
    match (request.ticket_ids, request.order_id) {
        (Some(mut tickets), None) => {
            tickets.sort_unstable();
            tickets.dedup();
            if tickets.is_empty() || tickets.len() > TICKETS_PER_ORDER_MAX {
                let message = format!("Name 1 to {TICKETS_PER_ORDER_MAX} tickets.");
                return Err(AppError::invalid("ticketIds", message));
            }
            Ok(Selection::Tickets(tickets))
        }
        (None, Some(order)) => Ok(Selection::Order(order)),
        _ => {
            let message = "Name the tickets to refund, or an order.";
            Err(AppError::invalid("ticketIds", message))
        }
    }
}

/// Reads everything that the decision depends on after locking the order's tickets.
async fn create_in_transaction(
    conn: &mut Conn,
    user: UserId,
    standing: OperatorStatus,
    selection: Selection,
    now: Moment,
) -> FaultResult<RefundId> {
    let operator = standing.may_act();
    let order = match &selection {
        Selection::Order(order) => *order,
        Selection::Tickets(tickets) => find_order(conn, user, operator, tickets).await?,
    };
    holds::lock_by_order(conn, order).await?;
    let refundable = transitions::list_refundable(conn, order).await?;
    let chosen: Vec<&Refundable> = match &selection {
        Selection::Order(_) => refundable.iter().collect(),
        Selection::Tickets(tickets) => refundable
            .iter()
            .filter(|found| tickets.contains(&found.ticket))
            .collect(),
    };
    let theirs = operator || chosen.iter().all(|found| found.seller == user);
    let wanted = match &selection {
        Selection::Order(_) => chosen.len().max(1),
        Selection::Tickets(tickets) => tickets.len(),
    };
    if chosen.len() != wanted {
        // A seller may learn the state of the tickets that they named.
        let may_know = operator || matches!(selection, Selection::Tickets(_));
        return Err(explain_refusal(conn, user, may_know, order).await?.into());
    }
    if !theirs {
        return Err(AppError::NotFound.into());
    }
    let payment = payments::find_captured(conn, order).await?.ok_or_else(|| {
        Fault::unexpected(
            "a sold ticket without a captured payment",
            order.to_string(),
        )
    })?;
    if chosen.iter().any(|found| found.frozen.0) {
        return Err(Conflict::PaymentDisputed.into());
    }
    let wanted: MinorUnits = chosen.iter().map(|found| found.price_minor).sum();
    if wanted > store::get_refundable(conn, payment.id).await? {
        return Err(Conflict::RefundedElsewhere.into());
    }
    let lines = chosen
        .iter()
        .map(|found| (found.ticket, found.price_minor))
        .collect();
    let begin = BeginRefund {
        payment,
        reason: if operator {
            Reason::Operator
        } else {
            Reason::Seller
        },
        asked_by: user,
        lines,
        now,
    };
    transitions::begin(conn, begin).await
}

/// Finds the order in which these tickets were sold. Errors: `NotFound` if one is unknown or of another
/// seller, `NotSold`, `Invalid` if they are of several orders.
async fn find_order(
    conn: &mut Conn,
    user: UserId,
    operator: bool,
    tickets: &[TicketId],
) -> FaultResult<OrderId> {
    let found = orders::list_live_orders(conn, tickets).await?;
    if found.len() != tickets.len() || !operator && found.iter().any(|of| of.seller != user) {
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

/// Explains why not all selected tickets can be refunded; `NotFound` if the user may not know.
async fn explain_refusal(
    conn: &mut Conn,
    user: UserId,
    may_know: bool,
    order: OrderId,
) -> FaultResult<AppError> {
    let mut sellers = ledger::list_shares(conn, order, None).await?;
    sellers.retain(|share| share.account != ledger::Account::Seller(user));
    if !may_know && !sellers.is_empty() || orders::find(&mut *conn, order).await?.is_none() {
        return Ok(AppError::NotFound);
    }
    let under_way = store::list_for_order(&mut *conn, order)
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
    async fn create(&self, viewer: &Viewer, request: CreateRefund) -> AppResult<Refund> {
        Ok(self.create(viewer.user.id, request).await?)
    }

    async fn get(&self, viewer: &Viewer, id: RefundId) -> AppResult<Refund> {
        Ok(self.get(viewer.user.id, id).await?)
    }

    async fn list_for_order(&self, viewer: &Viewer, order: OrderId) -> AppResult<Vec<Refund>> {
        Ok(self.list_for_order(viewer.user.id, order).await?)
    }

    async fn list_bought(&self, viewer: &Viewer) -> AppResult<Vec<TicketRefund>> {
        Ok(self
            .list_by_ticket(TicketRefundFilter::BoughtBy(viewer.user.id))
            .await?)
    }

    async fn list_sold(&self, viewer: &Viewer) -> AppResult<Vec<TicketRefund>> {
        Ok(self
            .list_by_ticket(TicketRefundFilter::SoldBy(viewer.user.id))
            .await?)
    }

    async fn list_newest_for_tickets(
        &self,
        viewer: &Viewer,
        tickets: &[TicketId],
    ) -> AppResult<Vec<TicketRefund>> {
        let refunds =
            store::list_newest_for_tickets(self.db.reads(), viewer.user.id, tickets).await;
        Ok(refunds.map_err(Fault::from)?)
    }

    async fn list_owed(&self, viewer: &Viewer) -> AppResult<Vec<Owed>> {
        let owed = ledger::list_owed(self.db.reads(), viewer.user.id).await;
        Ok(owed.map_err(Fault::from)?)
    }
}
