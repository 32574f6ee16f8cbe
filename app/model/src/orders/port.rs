//! What a browser can ask of orders.

use super::{OpenOrder, Order, OrderList, OrderQuery, Reserve, Timeline};
use crate::ids::OrderId;
use crate::{accounts::Viewer, error::AppResult};
use async_trait::async_trait;

/// A buyer's own orders. Another's order is `NotFound`.
#[async_trait]
pub trait Orders: Send + Sync {
    /// Reserves tickets until `Order::expires_at`, all or nothing.
    ///
    /// `key` names the attempt: the same key and request by the same viewer is the same order,
    /// however often it comes. A page makes one for each form it renders.
    ///
    /// Errors: `Invalid`, `NotFound`, `TicketReserved` (with the seconds left), `TicketSold`,
    /// `TicketWithdrawn`, `NotEnoughTickets`, `OwnTicket`, `EventOver`, `IdempotencyMismatch`.
    async fn reserve(
        &self,
        viewer: &Viewer,
        request: Reserve,
        key: Option<&str>,
    ) -> AppResult<Order>;

    /// Own orders, newest first. Errors: `Invalid` at `cursor` or `limit`.
    async fn list(&self, viewer: &Viewer, query: OrderQuery) -> AppResult<OrderList>;

    /// The viewer's orders that can still be paid, the first to end first; at most ten.
    async fn open(&self, viewer: &Viewer) -> AppResult<Vec<OpenOrder>>;

    /// One order. Errors: `NotFound`.
    async fn get(&self, viewer: &Viewer, id: OrderId) -> AppResult<Order>;

    /// Holds the tickets for a while longer: `Order::more_time_seconds`, once, in the last so many
    /// seconds. Asking again after it was granted is refused, so that no tab and no script holds
    /// tickets for ever.
    ///
    /// Errors: `NotFound`, `TooEarlyForMoreTime`, `NoMoreTime`, `OrderExpired`, `OrderComplete` and
    /// the other ends.
    async fn more_time(&self, viewer: &Viewer, id: OrderId) -> AppResult<Order>;

    /// Reserves once more what an order of the viewer's was for, after it ended without being paid:
    /// the same tickets, or where they are gone, as many in the same section that cost no more;
    /// tickets without a section only by more of the same offer. Errors as `reserve`;
    /// `OrderComplete` if it was paid.
    async fn reserve_again(
        &self,
        viewer: &Viewer,
        id: OrderId,
        key: Option<&str>,
    ) -> AppResult<Order>;

    /// Gives the tickets back. Cancelling a cancelled order is fine; `expected` is the version
    /// of an `If-Match`. Errors: `NotFound`, `PaymentInProgress`, `OrderComplete`, `OrderExpired`,
    /// `OrderRefunded`.
    async fn cancel(&self, viewer: &Viewer, id: OrderId, expected: Option<i64>) -> AppResult<()>;
}

/// What has happened to a buyer's own orders. Another's order is `NotFound`.
#[async_trait]
pub trait OrderHistory: Send + Sync {
    /// All entries of the timeline, oldest first. Errors: `NotFound`.
    async fn timeline(&self, viewer: &Viewer, id: OrderId) -> AppResult<Timeline>;
}
