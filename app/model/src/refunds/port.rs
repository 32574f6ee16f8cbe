//! The port of refunds.

use super::{CreateRefund, Owed, Refund, TicketRefund};
use crate::ids::{OrderId, RefundId, TicketId};
use crate::{accounts::Viewer, error::AppResult};
use async_trait::async_trait;

/// Refunds of sold tickets: by the ticket's seller, or by an operator for any ticket. For others, `NotFound`.
#[async_trait]
pub trait Refunds: Send + Sync {
    /// Begins to refund tickets. They stay with the buyer until the refund has succeeded, and then return to
    /// their seller, withdrawn from sale. The answer is `pending` if Stripe takes too long.
    ///
    /// Errors: `Invalid`, `NotFound`, `NotSold`, `RefundInProgress`, `PaymentDisputed`, `RefundedElsewhere`.
    async fn create(&self, viewer: &Viewer, request: CreateRefund) -> AppResult<Refund>;

    /// Returns a refund to the order's buyer, the user who requested it, or an operator. Errors: `NotFound`.
    async fn get(&self, viewer: &Viewer, id: RefundId) -> AppResult<Refund>;

    /// Lists the refunds of the viewer's own order, oldest first. Errors: `NotFound`.
    async fn list_for_order(&self, viewer: &Viewer, order: OrderId) -> AppResult<Vec<Refund>>;

    /// Lists the refunds of tickets that the viewer bought, newest first; at most 200.
    async fn list_bought(&self, viewer: &Viewer) -> AppResult<Vec<TicketRefund>>;

    /// Lists the refunds of tickets that the viewer sold, newest first; at most 200.
    async fn list_sold(&self, viewer: &Viewer) -> AppResult<Vec<TicketRefund>>;

    /// Lists the newest refund of each of these tickets that the viewer sells.
    async fn list_newest_for_tickets(
        &self,
        viewer: &Viewer,
        tickets: &[TicketId],
    ) -> AppResult<Vec<TicketRefund>>;

    /// Lists what the viewer is owed for sold tickets less refunds, by currency.
    async fn list_owed(&self, viewer: &Viewer) -> AppResult<Vec<Owed>>;
}
