//! `/api/events/{id}/stream`: changes of an event's tickets as server-sent events.

use crate::rest::{ApiError, PathId, QueryOf};
use axum::{
    extract::State,
    http::HeaderMap,
    response::sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, StreamExt, stream};
use model::ids::{EventId, OutboxId};
use platform::{
    outbox::{Missed, TicketChange},
    request,
};
use serde::Deserialize;
use shop::Api;
use std::{collections::HashSet, convert::Infallible, time::Duration};
use tokio_stream::wrappers::{BroadcastStream, errors::BroadcastStreamRecvError};
use utoipa::IntoParams;

const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// Where the stream begins.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamQuery {
    /// Changes of this number of seconds before, at most 60, are sent first, for example those since a page was
    /// rendered. `Last-Event-ID` has precedence.
    #[serde(default)]
    since_seconds: Option<u64>,
}

/// Sends every change of the event's tickets within a second: messages of type `ticket` with
/// `{id,status,priceMinor,version}`. `Last-Event-ID` replays what was missed. A listener gets a message
/// of type `reread` instead, and should read the event's tickets again, if it has missed too much,
/// reconnects after minutes or with an unknown id, or if more than 100 tickets were listed
/// at once.
#[utoipa::path(get, path = "/api/events/{id}/stream", tag = "Events",
    params(("id" = EventId, Path), StreamQuery),
    responses((status = 200, content_type = "text/event-stream", body = String)))]
pub(super) async fn stream_event(
    State(api): State<Api>,
    PathId(id): PathId<EventId>,
    QueryOf(asked): QueryOf<StreamQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let slot = api.listeners.acquire(request::address())?;
    api.events.get(id).await?;
    // Subscribes before the replay, so that no change is lost in between.
    let subscription = api.live.listen();
    let missed = match (headers.get("last-event-id"), asked.since_seconds) {
        (Some(last), _) => {
            let last = last.to_str().unwrap_or_default();
            api.live.since(last, id).await
        }
        (None, Some(seconds)) => api.live.recent(seconds, id).await,
        (None, None) => Missed::Changes(Vec::new()),
    };
    let mut closing = api.live.closing();
    let (missed, sent): (Vec<Event>, HashSet<OutboxId>) = match missed {
        Missed::Changes(changes) => (
            changes.iter().map(message).collect(),
            changes.into_iter().map(|change| change.id).collect(),
        ),
        Missed::Everything => (vec![reread()], HashSet::new()),
    };
    let changes = BroadcastStream::new(subscription).filter_map(move |change| {
        let message = match change {
            Ok(change) if change.event_id == id && !sent.contains(&change.id) => {
                Some(message(&change))
            }
            Ok(_) => None,
            Err(BroadcastStreamRecvError::Lagged(_)) => Some(reread()),
        };
        std::future::ready(message)
    });
    let messages = stream::iter(missed)
        .chain(changes)
        .map(move |message| {
            let _until_closed = &slot;
            Ok(message)
        })
        .take_until(async move { drop(closing.wait_for(|closed| *closed).await) });
    Ok(Sse::new(messages).keep_alive(KeepAlive::new().interval(COMMENT_EVERY).text("still here")))
}

fn message(change: &TicketChange) -> Event {
    match &change.message {
        Some(message) => Event::default()
            .id(change.id.to_string())
            .event("ticket")
            .data(message),
        None => reread(),
    }
}

/// Has no id, so that a client that reconnects before the next change gets it again.
fn reread() -> Event {
    Event::default().event("reread").data("{}")
}
