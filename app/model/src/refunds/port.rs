//! What a browser can ask of refunds.

use super::{AskRefund, Owed, Refund, TicketRefund};
use crate::ids::{OrderId, RefundId, TicketId};
use crate::{accounts::Viewer, error::AppResult};
use async_trait::async_trait;

/// Paying back what was sold. A ticket's seller may, and an operator may for any ticket; for
/// everybody else there is `NotFound`.
#[async_trait]
pub trait Refunds: Send + Sync {
    /// Begins to pay tickets back. The tickets stay the buyer's until the money is back; then they
    /// are their seller's again, withdrawn from sale.
    ///
    /// Errors: `Invalid`, `NotFound`, `NotSold` (a ticket is not sold), `RefundInProgress` (it is
    /// being refunded).
    async fn ask(&self, viewer: &Viewer, request: AskRefund) -> AppResult<Refund>;

    /// One refund, for who may refund, and for the order's buyer. Errors: `NotFound`.
    async fn get(&self, viewer: &Viewer, id: RefundId) -> AppResult<Refund>;

    /// The refunds of one's own order, oldest first. Errors: `NotFound`.
    async fn of_order(&self, viewer: &Viewer, order: OrderId) -> AppResult<Vec<Refund>>;

    /// The refunds of tickets that the viewer bought, newest first; at most 200.
    async fn of_bought(&self, viewer: &Viewer) -> AppResult<Vec<TicketRefund>>;

    /// The refunds of tickets that the viewer sold, newest first; at most 200.
    async fn of_sold(&self, viewer: &Viewer) -> AppResult<Vec<TicketRefund>>;

    /// The newest refund of each of these tickets that the viewer sells, if it has one.
    async fn of_listings(
        &self,
        viewer: &Viewer,
        tickets: &[TicketId],
    ) -> AppResult<Vec<TicketRefund>>;

    /// What the viewer is owed for what they have sold and not refunded.
    async fn owed(&self, viewer: &Viewer) -> AppResult<Vec<Owed>>;
}
