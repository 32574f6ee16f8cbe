//! The port of selling.

use super::{
    Changed, Counts, GroupQuery, PriceComparison, Reprice, Sale, SaleGroup, SaleGroups, SalesByDay,
    UnsoldSection, WithdrawUnsold,
};
use crate::ids::{EventId, OrderId, TicketId};
use crate::{accounts::Viewer, error::AppResult, tickets::Ticket};
use async_trait::async_trait;
use std::collections::HashMap;

/// A seller's own tickets and sales: all methods only return or change those of the viewer.
#[async_trait]
pub trait Selling: Send + Sync {
    /// The number of all tickets that the viewer has ever listed, by status.
    async fn count_tickets(&self, viewer: &Viewer) -> AppResult<Counts>;

    /// One page of the viewer's tickets, grouped by event. Errors: `Invalid` at `page`.
    async fn list_groups(&self, viewer: &Viewer, query: GroupQuery) -> AppResult<SaleGroups>;

    /// The viewer's tickets for one event. Errors: `NotFound` if there are none.
    async fn get_group(&self, viewer: &Viewer, event: EventId) -> AppResult<SaleGroup>;

    /// The sections of the viewer's unsold tickets for an event, by name; at most 100.
    async fn list_unsold_sections(
        &self,
        viewer: &Viewer,
        event: EventId,
    ) -> AppResult<Vec<UnsoldSection>>;

    /// The number and lowest prices of other sellers' tickets for this event and section.
    async fn compare_prices(
        &self,
        viewer: &Viewer,
        event: EventId,
        section: &str,
    ) -> AppResult<PriceComparison>;

    /// Changes the price of the viewer's unsold tickets that are not held. Errors: `Invalid` at
    /// `section` or `priceMinor`, `NotFound` (the viewer has no tickets for this event), `EventOver`.
    async fn reprice(&self, viewer: &Viewer, request: Reprice) -> AppResult<Changed>;

    /// Withdraws the viewer's unsold tickets that are not held. Errors: `Invalid` at `section`,
    /// `NotFound` (the viewer has no tickets for this event).
    async fn withdraw_unsold(&self, viewer: &Viewer, request: WithdrawUnsold)
    -> AppResult<Changed>;

    /// Sales of the last 30 days, by day and currency.
    async fn list_sales_by_day(&self, viewer: &Viewer) -> AppResult<SalesByDay>;

    /// The orders in which these tickets were bought, for those that the viewer has sold.
    async fn find_orders(
        &self,
        viewer: &Viewer,
        tickets: &[Ticket],
    ) -> AppResult<HashMap<TicketId, OrderId>>;

    /// The sales after this one, oldest first; at most 1000, none at the end.
    async fn list_sales(&self, viewer: &Viewer, after: Option<&Sale>) -> AppResult<Vec<Sale>>;
}
