//! What a browser can ask of passes.

use super::{CheckedPass, LinkedOrder, Pass, PassKeys, TicketsOf};
use crate::{accounts::Viewer, error::AppResult, ids::OrderId, order_link::OrderLink};
use async_trait::async_trait;

/// The passes of paid tickets. A ticket that is not the viewer's any more has none.
#[async_trait]
pub trait Passes: Send + Sync {
    /// Those of one's own order, by section, row and seat; none unless it is paid.
    /// Errors: `NotFound`.
    async fn of_order(&self, viewer: &Viewer, order: OrderId) -> AppResult<Vec<Pass>>;

    /// Those of all that the viewer has bought for events that are not long over, soonest first; at
    /// most 200.
    async fn of_buyer(&self, viewer: &Viewer) -> AppResult<Vec<Pass>>;

    /// The order that a mailed link is to, until 30 days after the end of its event, or after the start where no end is known. Uses nothing up.
    /// Errors: `NotFound`.
    async fn by_link(&self, link: &OrderLink) -> AppResult<LinkedOrder>;

    /// The tickets of an order to print, as PDF, one a page. Errors: `NotFound`, also where no ticket
    /// of the order is its buyer's.
    async fn pdf(&self, of: TicketsOf) -> AppResult<Vec<u8>>;

    /// The event of an order for a calendar, as RFC 5545 has it. Errors: as `pdf`.
    async fn calendar(&self, of: TicketsOf) -> AppResult<String>;

    /// The public keys that passes can be checked with, away from here.
    async fn keys(&self) -> AppResult<PassKeys>;

    /// How a pass stands this moment. Errors: `Invalid` if it is no pass at all; `Forbidden` for
    /// who neither sells the ticket nor made the event nor is an operator.
    async fn check(&self, viewer: &Viewer, pass: &str) -> AppResult<CheckedPass>;
}
