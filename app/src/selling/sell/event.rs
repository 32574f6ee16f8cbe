//! The first step: find an event, choose one's own, or create one.

use crate::events::Facts;
use crate::{
    events::{
        FIELDS,
        api::{Create, FACTS_FORM},
        event_fields,
    },
    ui::{Choice, Form, Input, choose_grouped, post_to, problem_at_top},
};
use context::Flash;
use leptos::prelude::*;
use model::{
    accounts::Viewer,
    error::AppResult,
    events::{Event, EventQuery, Events},
    money::Currency,
};
use std::sync::Arc;

/// Frequent currencies, in the order in which they are offered.
const FREQUENT: [&str; 6] = ["GBP", "EUR", "USD", "CAD", "AUD", "JPY"];

/// The search with its results, the viewer's own events, and the form for a new event.
pub async fn choose_event(
    events: &Arc<dyn Events>,
    viewer: &Viewer,
    q: &str,
    flash: Option<&Flash>,
) -> AppResult<AnyView> {
    let own = events.list_own(viewer).await?;
    let found = if q.is_empty() {
        Vec::new()
    } else {
        let query = EventQuery {
            q: Some(q.to_owned()),
            limit: Some(10),
            ..EventQuery::default()
        };
        events.list(query).await?.events
    };
    let form = Form::new(FACTS_FORM, flash).labelled(&FIELDS);
    let none = !q.is_empty() && found.is_empty();
    let q = q.to_owned();
    Ok(view! {
        <section class="panel stack" aria-labelledby="step">
            <h2 class="title" id="step">"For which event?"</h2>
            <form class="row" role="search" action="/sell" method="get">
                <label class="sr-only" for="find-event">"Find the event"</label>
                <input
                    class="input grow"
                    type="search"
                    id="find-event"
                    name="q"
                    value=q
                    maxlength="100"
                    placeholder="Event, venue or city"
                />
                <button class="button" type="submit">"Find"</button>
            </form>
            {none.then(|| view! { <p role="status">"No event matches. Create it below."</p> })}
            {event_rows("Found", found)}
            {event_rows("Your events", own)}
        </section>
        <details class="panel" open=form.was_refused() || none>
            <summary class="title">"Not listed yet? Create the event"</summary>
            {event_form(&form)}
        </details>
    }
    .into_any())
}

fn event_rows(title: &'static str, events: Vec<Event>) -> Option<AnyView> {
    if events.is_empty() {
        return None;
    }
    let rows = events
        .into_iter()
        .map(|event| {
            view! {
                <li>
                    <a class="order-row" href=format!("/sell?event={}", event.id)>
                        <span>
                            <strong dir="auto">{event.title.clone()}</strong>
                            <br/>
                            <span class="quiet">
                                {event.when()} " · " <bdi>{event.venue}</bdi> ", "
                                <bdi>{event.city}</bdi>
                            </span>
                        </span>
                        <span class="button button-quiet button-small" aria-hidden="true">"Choose"</span>
                    </a>
                </li>
            }
        })
        .collect_view();
    Some(view! { <h3 class="label">{title}</h3> <ul class="rows">{rows}</ul> }.into_any())
}

fn event_form(form: &Form) -> AnyView {
    let named = |currency: Currency| {
        let label = format!("{} ({})", currency.name(), currency.code());
        Choice::new(currency.code(), label)
    };
    let (mut frequent, mut others): (Vec<Currency>, Vec<Currency>) = Currency::all()
        .filter(|currency| currency.is_accepted())
        .partition(|currency| FREQUENT.contains(&currency.code()));
    frequent.sort_by_key(|currency| FREQUENT.iter().position(|code| *code == currency.code()));
    others.sort_by_key(|currency| currency.name());
    let groups = [("Often used", frequent), ("Others", others)]
        .map(|(heading, group)| (heading, group.into_iter().map(named).collect()));
    let mut currencies = vec![("", vec![Choice::new("", "From the country")])];
    currencies.extend(groups);
    let currency = Input {
        name: "currency",
        label: "Currency of its tickets",
        ..Input::default()
    };
    let currency = choose_grouped(form, currency, currencies);
    view! {
        {post_to::<Create>("stack", view! {
            {problem_at_top(form)}
            {event_fields(form, &Facts::blank(), Some(currency))}
            <button class="button" type="submit">"Create the event"</button>
        })}
    }
    .into_any()
}
