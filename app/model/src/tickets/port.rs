//! What a browser can ask of tickets.

use super::{
    EditTicket, ListTicket, Listed, OfferFilter, Offers, OwnedTicket, Ticket, TicketList,
    TicketQuery,
};
use crate::ids::{EventId, TicketId};
use crate::{accounts::Viewer, error::AppResult};
use async_trait::async_trait;

/// Listings. Anybody reads them; only the seller changes one, and only while nobody holds it.
#[async_trait]
pub trait Tickets: Send + Sync {
    /// A page of tickets. Errors: `Invalid`; `SignInRequired` for `sellerId=me` without a viewer.
    async fn list(&self, viewer: Option<&Viewer>, query: TicketQuery) -> AppResult<TicketList>;

    /// What is for sale at an event and matches the filter, grouped as a buyer chooses.
    async fn list_offers(&self, event: EventId, filter: OfferFilter) -> AppResult<Offers>;

    /// One ticket. Errors: `NotFound`.
    async fn get(&self, id: TicketId) -> AppResult<Ticket>;

    /// Tickets that the viewer has bought, soonest event first; at most 200.
    async fn list_bought(&self, viewer: &Viewer) -> AppResult<Vec<OwnedTicket>>;

    /// Tickets that the viewer bought, was refunded, and no longer has; soonest event first; at
    /// most 200.
    async fn list_refunded(&self, viewer: &Viewer) -> AppResult<Vec<OwnedTicket>>;

    /// Whether `put_on_sale` would take this, without doing it. Errors: the same.
    async fn check_listing(
        &self,
        viewer: &Viewer,
        request: &ListTicket,
        quantity: i64,
    ) -> AppResult<()>;

    /// Lists `quantity` tickets (one, if it carries row or seat), all or nothing. The same viewer's
    /// same `attempt` lists them once, and is answered as the first time.
    ///
    /// Errors: `Invalid` at the field, `NotFound` (event), `EventOver`, `IdempotencyMismatch`.
    async fn put_on_sale(
        &self,
        viewer: &Viewer,
        request: ListTicket,
        quantity: i64,
        attempt: Option<&str>,
    ) -> AppResult<Listed>;

    /// Changes price or seat. Errors: `NotFound`, `Forbidden`, `Invalid`, `TicketReserved`,
    /// `TicketSold`, `TicketWithdrawn`, `VersionConflict`; nothing is written then.
    async fn edit(&self, viewer: &Viewer, id: TicketId, request: EditTicket) -> AppResult<Ticket>;

    /// Takes the listing back. Errors as `edit`; `expected` is the version of an `If-Match`.
    async fn withdraw(&self, viewer: &Viewer, id: TicketId, expected: Option<i64>)
    -> AppResult<()>;
}
