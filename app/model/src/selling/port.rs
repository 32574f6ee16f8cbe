//! What a browser can ask of selling.

use super::{
    Changed, Counts, GroupQuery, PriceComparison, Reprice, Sale, SaleGroup, SaleGroups, SalesByDay,
    UnsoldSection, WithdrawUnsold,
};
use crate::ids::{EventId, OrderId, TicketId};
use crate::{accounts::Viewer, error::AppResult, tickets::Ticket};
use async_trait::async_trait;
use std::collections::HashMap;

/// A seller's own tickets and sales.
#[async_trait]
pub trait Selling: Send + Sync {
    /// How all that the viewer has ever listed stands.
    async fn count_tickets(&self, viewer: &Viewer) -> AppResult<Counts>;

    /// A page of the viewer's events. Errors: `Invalid` at `page`.
    async fn list_groups(&self, viewer: &Viewer, query: GroupQuery) -> AppResult<SaleGroups>;

    /// The viewer's tickets for one event. Errors: `NotFound` where there are none.
    async fn get_group(&self, viewer: &Viewer, event: EventId) -> AppResult<SaleGroup>;

    /// The sections of the viewer's unsold tickets for an event, by name; at most 100.
    async fn list_unsold_sections(
        &self,
        viewer: &Viewer,
        event: EventId,
    ) -> AppResult<Vec<UnsoldSection>>;

    /// What others ask for tickets of this event, and of this section.
    async fn compare_prices(
        &self,
        viewer: &Viewer,
        event: EventId,
        section: &str,
    ) -> AppResult<PriceComparison>;

    /// Changes the price of the viewer's unsold tickets that nobody holds. Errors: `Invalid` at
    /// `priceMinor`, `NotFound` (no ticket of theirs for this event), `EventOver`.
    async fn reprice(&self, viewer: &Viewer, request: Reprice) -> AppResult<Changed>;

    /// Takes the viewer's unsold tickets that nobody holds off sale. Errors: `NotFound` (no ticket
    /// of theirs for this event).
    async fn withdraw_unsold(&self, viewer: &Viewer, request: WithdrawUnsold)
    -> AppResult<Changed>;

    /// What was sold on each of the last 30 days.
    async fn list_sales_by_day(&self, viewer: &Viewer) -> AppResult<SalesByDay>;

    /// In which orders those of these tickets were bought that the viewer has sold.
    async fn find_orders(
        &self,
        viewer: &Viewer,
        tickets: &[Ticket],
    ) -> AppResult<HashMap<TicketId, OrderId>>;

    /// The next sales after this one, oldest first; at most 1000, none at the end.
    async fn list_sales(&self, viewer: &Viewer, after: Option<&Sale>) -> AppResult<Vec<Sale>>;
}
