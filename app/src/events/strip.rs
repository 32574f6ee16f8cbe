//! An event in one line with its poster, at the top of a form that is about it.

use super::{Spot, cover};
use leptos::prelude::*;
use model::events::Event;

/// Poster, title, time and place; `what` names the ticket that it is about.
pub fn event_strip(event: &Event, what: Option<&str>) -> impl IntoView + use<> {
    let what = what.map(|what| view! { <span dir="auto">{what.to_owned()}</span> <br/> });
    view! {
        <div class="panel event-strip">
            <div class="strip-art">{cover(event, Spot::Strip)}</div>
            <p>
                <strong><a dir="auto" href=format!("/events/{}", event.id)>{event.title.clone()}</a></strong>
                <br/>
                {what}
                <span class="quiet">
                    {event.when()} " · " <bdi>{event.venue.clone()}</bdi> ", "
                    <bdi>{event.city.clone()}</bdi>
                </span>
            </p>
        </div>
    }
}
