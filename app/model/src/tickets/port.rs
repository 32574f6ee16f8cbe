//! The port of tickets.

use super::{
    EditTicket, ListTicket, Listed, OfferFilter, Offers, OwnedTicket, Ticket, TicketList,
    TicketQuery,
};
use crate::ids::{EventId, TicketId};
use crate::{accounts::Viewer, error::AppResult};
use async_trait::async_trait;

/// Listings. Public to read. Only the seller may change a listing, and only while it is not held;
/// operators may withdraw any.
#[async_trait]
pub trait Tickets: Send + Sync {
    /// One page of tickets. Errors: `Invalid`; `SignInRequired` for `sellerId=me` without a viewer.
    async fn list(&self, viewer: Option<&Viewer>, query: TicketQuery) -> AppResult<TicketList>;

    /// Tickets for sale at an event that match the filter, grouped by section, price and seller.
    async fn list_offers(&self, event: EventId, filter: OfferFilter) -> AppResult<Offers>;

    /// Errors: `NotFound`.
    async fn get(&self, id: TicketId) -> AppResult<Ticket>;

    /// Tickets that the viewer owns, soonest event first; at most 200.
    async fn list_bought(&self, viewer: &Viewer) -> AppResult<Vec<OwnedTicket>>;

    /// Tickets that the viewer bought, was refunded and no longer owns, soonest event first; at most
    /// 200.
    async fn list_refunded(&self, viewer: &Viewer) -> AppResult<Vec<OwnedTicket>>;

    /// Validates as `put_on_sale` does, without writing. Errors as there.
    async fn check_listing(
        &self,
        viewer: &Viewer,
        request: &ListTicket,
        quantity: i64,
    ) -> AppResult<()>;

    /// Lists `quantity` tickets (one, if a row or seat is given), all or none. `attempt` is the
    /// viewer's idempotency key: a repeated call lists nothing more and returns the first result.
    ///
    /// Errors: `Invalid` at the field, `NotFound` (event), `EventOver`, `SeatListed`, `ListingLimit`,
    /// `ListingInProgress`, `IdempotencyMismatch`.
    async fn put_on_sale(
        &self,
        viewer: &Viewer,
        request: ListTicket,
        quantity: i64,
        attempt: Option<&str>,
    ) -> AppResult<Listed>;

    /// Changes price or seat. `expected` is the version of an `If-Match`. Errors: `NotFound`,
    /// `PreconditionFailed`, `Invalid`, `TicketReserved`, `TicketSold`, `TicketWithdrawn`, `SeatListed`,
    /// `EventOver`, `VersionConflict`.
    async fn edit(
        &self,
        viewer: &Viewer,
        id: TicketId,
        request: EditTicket,
        expected: Option<i64>,
    ) -> AppResult<Ticket>;

    /// Takes a listing off sale. `expected` is the version of an `If-Match`. Errors: `NotFound`,
    /// `TicketReserved`, `TicketSold`, `TicketWithdrawn`, `PreconditionFailed`.
    async fn withdraw(&self, viewer: &Viewer, id: TicketId, expected: Option<i64>)
    -> AppResult<()>;
}
