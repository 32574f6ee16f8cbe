//! The port for waiting lists.

use super::{JoinWaitingList, Joined, Waiting, WaitingToken};
use crate::ids::EventId;
use crate::{accounts::Viewer, error::AppResult};
use async_trait::async_trait;

/// Waiting lists of events that have too few tickets for sale. When there are tickets, entries are mailed
/// once, in the order in which they joined; no tickets are reserved for them.
#[async_trait]
pub trait WaitingList: Send + Sync {
    /// Adds the viewer's own verified address at the end of the list, unless it is waiting already, and
    /// mails a notice. Mails a confirmation link to any other address, without changing a waiting entry.
    ///
    /// Errors: `Invalid` at `email` or `quantity`; `NotFound`; `EventOver`; `TicketsForSale` (enough
    /// tickets are available); `TooManyRequests`.
    async fn join(
        &self,
        viewer: Option<&Viewer>,
        event: EventId,
        request: JoinWaitingList,
    ) -> AppResult<Joined>;

    /// The viewer's own entry for an event on sale.
    async fn find_own(&self, viewer: &Viewer, event: EventId) -> AppResult<Option<Waiting>>;

    /// The viewer's own entries for events on sale, by start; at most 200.
    async fn list_own(&self, viewer: &Viewer) -> AppResult<Vec<Waiting>>;

    /// Deletes the viewer's own entry. Errors: `NotFound`.
    async fn leave(&self, viewer: &Viewer, event: EventId) -> AppResult<()>;

    /// The entry of a mailed link; `None` if it has been deleted or the link has expired.
    async fn find_by_link(&self, token: &WaitingToken) -> AppResult<Option<Waiting>>;

    /// Confirms the address of a mailed link, or adds it again after a notification: its entry goes to the
    /// end of the list, unless it is waiting already. Errors: `Invalid` at `token`.
    async fn confirm(&self, token: &WaitingToken) -> AppResult<Waiting>;

    /// Deletes the entry of a mailed link, and returns its event; `None` if it was deleted before. Errors:
    /// `Invalid` at `token`.
    async fn leave_by_link(&self, token: &WaitingToken) -> AppResult<Option<EventId>>;
}
