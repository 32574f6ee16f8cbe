//! `/api/events/{id}/stream`: what happens to an event's tickets, as server-sent events.

use crate::{
    outbox::{Live, TicketChange},
    rest::{Api, ApiError, PathId, Problem},
};
use app::ids::EventId;
use axum::{
    extract::State,
    http::HeaderMap,
    response::sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, StreamExt, stream};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio_stream::wrappers::BroadcastStream;

const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// Tells of every change of the event's tickets within a second: messages of type `ticket` with
/// `{id,status,priceMinor,version}`. `Last-Event-ID` replays what was missed.
#[utoipa::path(get, path = "/api/events/{id}/stream", tag = "Events",
    params(("id" = EventId, Path)),
    responses((status = 200, content_type = "text/event-stream", body = String),
        (status = 404, body = Problem)))]
pub async fn stream_event(
    State(api): State<Api>,
    PathId(id): PathId<EventId>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    api.events.get(id).await?;
    let event_id = id.to_string();
    // Listening begins before the replay, so nothing falls between the two.
    let listening = api.live.listen();
    let missed = match headers
        .get("last-event-id")
        .and_then(|last| last.to_str().ok())
    {
        Some(last) => missed(&api.live, last, &event_id).await,
        None => Vec::new(),
    };
    let mut closing = api.live.closing();
    let changes = BroadcastStream::new(listening).filter_map(move |change| {
        // A listener that is too slow has missed some: the next change of each ticket comes.
        let change = change.ok().filter(|change| change.event_id == event_id);
        std::future::ready(change)
    });
    let messages = stream::iter(missed)
        .chain(changes)
        .map(|change| {
            Ok(Event::default()
                .id(&change.id)
                .event("ticket")
                .data(&change.message))
        })
        .take_until(async move { drop(closing.wait_for(|closed| *closed).await) });
    Ok(Sse::new(messages).keep_alive(KeepAlive::new().interval(COMMENT_EVERY).text("still here")))
}

async fn missed(live: &Live, last: &str, event_id: &str) -> Vec<Arc<TicketChange>> {
    match live.since(last, event_id).await {
        Ok(changes) => changes.into_iter().map(Arc::new).collect(),
        Err(error) => {
            tracing::warn!(%error, "what a listener missed could not be read");
            Vec::new()
        }
    }
}
