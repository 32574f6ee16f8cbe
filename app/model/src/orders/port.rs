//! The operations of orders that a browser can request.

use super::{OpenOrder, Order, OrderList, OrderQuery, Reserve, Timeline};
use crate::ids::OrderId;
use crate::{accounts::Viewer, error::AppResult};
use async_trait::async_trait;

/// A buyer's own orders. Another buyer's order is `NotFound`.
#[async_trait]
pub trait Orders: Send + Sync {
    /// Reserves tickets until `Order::expires_at`, all or none.
    ///
    /// `key` is an idempotency key: the same key and request by the same viewer return the same order.
    /// Pages generate one for each form that they render.
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

    /// The viewer's orders that can still be paid, soonest to expire first; at most ten.
    async fn list_open(&self, viewer: &Viewer) -> AppResult<Vec<OpenOrder>>;

    /// One order. Errors: `NotFound`.
    async fn get(&self, viewer: &Viewer, id: OrderId) -> AppResult<Order>;

    /// Extends the hold by `Order::more_time_seconds`, once per order, if no more than that is left.
    ///
    /// Errors: `NotFound`, `TooEarlyForMoreTime`, `NoMoreTime`, `OrderExpired`, `OrderCancelled`,
    /// `OrderComplete`, `OrderRefunded`, `PaymentInProgress`.
    async fn extend_hold(&self, viewer: &Viewer, id: OrderId) -> AppResult<Order>;

    /// Reserves the tickets of an expired or cancelled order again. If they are no longer available, reserves
    /// the same number in the same section that cost no more, or, without a section, of the same offer.
    /// Errors as `reserve`, and why the order is not expired or cancelled, such as `OrderComplete`.
    async fn reserve_again(
        &self,
        viewer: &Viewer,
        id: OrderId,
        key: Option<&str>,
    ) -> AppResult<Order>;

    /// Releases the tickets. Cancelling a cancelled order succeeds. `expected` is the version of an
    /// `If-Match`; another version is `PreconditionFailed`.
    ///
    /// Errors: `NotFound`, `PreconditionFailed`, `PaymentInProgress`, `OrderComplete`, `OrderExpired`,
    /// `OrderRefunded`.
    async fn cancel(&self, viewer: &Viewer, id: OrderId, expected: Option<i64>) -> AppResult<()>;
}

/// The history of a buyer's own orders. Another buyer's order is `NotFound`.
#[async_trait]
pub trait OrderHistory: Send + Sync {
    /// All entries of the timeline, oldest first. Errors: `NotFound`.
    async fn get_timeline(&self, viewer: &Viewer, id: OrderId) -> AppResult<Timeline>;
}
