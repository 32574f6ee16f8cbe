//! The port of passes.

use super::{CheckedPass, LinkedOrder, Pass, PassKeys, TicketsOf};
use crate::{accounts::Viewer, error::AppResult, ids::OrderId, order_link::OrderLink};
use async_trait::async_trait;

/// The passes of paid tickets. A ticket that no longer belongs to its buyer has none.
#[async_trait]
pub trait Passes: Send + Sync {
    /// Lists the passes of the viewer's order by section, row and seat; none unless it is paid.
    /// Errors: `NotFound`.
    async fn list_for_order(&self, viewer: &Viewer, order: OrderId) -> AppResult<Vec<Pass>>;

    /// Lists the passes of the viewer's tickets for events whose tickets are still shown, soonest first; at
    /// most 200.
    async fn list_for_buyer(&self, viewer: &Viewer) -> AppResult<Vec<Pass>>;

    /// Finds the order of a mailed link, until 30 days after the event's end, or after its start if no end is
    /// known. The link can be used any number of times. Errors: `NotFound`, also for an invalid link, an
    /// unpaid order and a deleted buyer.
    async fn find_by_link(&self, link: &OrderLink) -> AppResult<LinkedOrder>;

    /// Renders the tickets of an order as PDF, one a page. Errors: `NotFound`, also if no ticket of the order
    /// is its buyer's.
    async fn render_pdf(&self, of: TicketsOf) -> AppResult<Vec<u8>>;

    /// Renders the event of an order as an iCalendar file (RFC 5545). Errors: as `render_pdf`.
    async fn render_calendar(&self, of: TicketsOf) -> AppResult<String>;

    /// Lists the public keys with which passes can be checked offline.
    async fn list_keys(&self) -> AppResult<PassKeys>;

    /// Checks a pass against the ticket's current state. Errors: `Invalid` if the text is not a pass;
    /// `Forbidden` unless the viewer is the ticket's seller, the event's creator or an operator.
    async fn check(&self, viewer: &Viewer, pass: &str) -> AppResult<CheckedPass>;
}
