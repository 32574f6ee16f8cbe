//! An event in one line with its cover, at the top of a form about it.

use super::{Spot, cover};
use leptos::prelude::*;
use model::events::Event;

/// Cover, title, time and place; `what` names the ticket that the form is about.
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
