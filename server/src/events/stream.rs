//! `/api/events/{id}/stream`: what happens to an event's tickets, as server-sent events.

use crate::rest::{Api, ApiError, PathId, QueryOf};
use app::ids::EventId;
use axum::{
    extract::State,
    http::HeaderMap,
    response::sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, StreamExt, stream};
use serde::Deserialize;
use std::{collections::HashSet, convert::Infallible, sync::Arc, time::Duration};
use tokio_stream::wrappers::BroadcastStream;
use utoipa::IntoParams;

const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// From when on a new listener wants to be told.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StreamQuery {
    /// What happened in so many seconds before is told first, 60 at most: since a page was made,
    /// for one. `Last-Event-ID` goes before it.
    #[serde(default)]
    since_seconds: Option<u64>,
}

/// Tells of every change of the event's tickets within a second: messages of type `ticket` with
/// `{id,status,priceMinor,version}`. `Last-Event-ID` replays what was missed.
#[utoipa::path(get, path = "/api/events/{id}/stream", tag = "Events",
    params(("id" = EventId, Path), StreamQuery),
    responses((status = 200, content_type = "text/event-stream", body = String)))]
pub async fn stream_event(
    State(api): State<Api>,
    PathId(id): PathId<EventId>,
    QueryOf(asked): QueryOf<StreamQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    api.events.get(id).await?;
    let event_id = id.to_string();
    // Listening begins before the replay, so nothing falls between the two.
    let listening = api.live.listen();
    let last = headers
        .get("last-event-id")
        .and_then(|last| last.to_str().ok());
    let missed = match (last, asked.since_seconds) {
        (Some(last), _) => api.live.since(last, &event_id).await,
        (None, Some(seconds)) => api.live.of_late(seconds, &event_id).await,
        (None, None) => Ok(Vec::new()),
    };
    let missed = missed.unwrap_or_else(|error| {
        tracing::warn!(%error, "what a listener missed could not be read");
        Vec::new()
    });
    let mut closing = api.live.closing();
    let told: HashSet<String> = missed.iter().map(|change| change.id.clone()).collect();
    let changes = BroadcastStream::new(listening).filter_map(move |change| {
        // A listener that is too slow has missed some: the next change of each ticket comes.
        let change = change
            .ok()
            .filter(|change| change.event_id == event_id && !told.contains(&change.id));
        std::future::ready(change)
    });
    let messages = stream::iter(missed.into_iter().map(Arc::new))
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
