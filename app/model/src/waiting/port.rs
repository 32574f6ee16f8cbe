//! What a browser can ask of the waiting list.

use super::{JoinWaitingList, Joined, Waiting, WaitingToken};
use crate::ids::EventId;
use crate::{accounts::Viewer, error::AppResult};
use async_trait::async_trait;

/// Waiting for tickets to an event that has not enough of them for sale. Who waits is mailed once
/// when there are, in the order in which they came; nothing is kept for them.
#[async_trait]
pub trait WaitingList: Send + Sync {
    /// Puts the viewer's own address on the list, at its end unless it is there already, and mails
    /// that it is. To any other address the link is mailed that confirms it; nothing that is on the
    /// list is changed by somebody who may be a stranger.
    ///
    /// Errors: `Invalid` at `email` or `quantity`; `NotFound`; `EventOver`; `TicketsForSale` (there
    /// are as many as are wanted); `TooManyRequests`.
    async fn join(
        &self,
        viewer: Option<&Viewer>,
        event: EventId,
        request: JoinWaitingList,
    ) -> AppResult<Joined>;

    /// The viewer's own entry of an event to come.
    async fn own(&self, viewer: &Viewer, event: EventId) -> AppResult<Option<Waiting>>;

    /// The viewer's own entries of events to come, by when these begin; at most 200.
    async fn all_own(&self, viewer: &Viewer) -> AppResult<Vec<Waiting>>;

    /// Deletes the viewer's own entry. Errors: `NotFound`.
    async fn leave(&self, viewer: &Viewer, event: EventId) -> AppResult<()>;

    /// The entry that a mailed link leads to. None: it was deleted, or its time is over.
    async fn linked(&self, token: &WaitingToken) -> AppResult<Option<Waiting>>;

    /// Puts the entry of a mailed link on the list, at its end unless it is there already: the
    /// address is confirmed, or wants to be told once more. Errors: `Invalid` at `token`.
    async fn confirm(&self, token: &WaitingToken) -> AppResult<Waiting>;

    /// Deletes the entry of a mailed link. None: it has been deleted before, which is as well.
    async fn leave_by_link(&self, token: &WaitingToken) -> AppResult<Option<EventId>>;
}
