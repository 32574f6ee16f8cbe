//! `/` and `/events/:id`.

use super::{City, Event, EventQuery, Events, day_and_month, when, when_in_full};
use crate::{
    context,
    error::{AppError, AppResult},
    ids::EventId,
    money::Money,
    tickets::{Tickets, for_sale},
    ui::{Icon, flash_message, icon, page, poster},
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::{use_params_map, use_query_map};
use std::sync::Arc;

/// What the home page was asked for.
struct Asked {
    q: String,
    city: String,
    cursor: String,
}

impl Asked {
    fn read() -> Self {
        use_query_map().with_untracked(|query| {
            let given = |name| {
                query
                    .get(name)
                    .map(|text| text.trim().to_owned())
                    .unwrap_or_default()
            };
            Self {
                q: given("q"),
                city: given("city"),
                cursor: given("cursor"),
            }
        })
    }

    fn is_everything(&self) -> bool {
        self.q.is_empty() && self.city.is_empty()
    }

    fn query(&self) -> EventQuery {
        let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        EventQuery {
            q: given(&self.q),
            city: given(&self.city),
            cursor: given(&self.cursor),
            limit: Some(24),
            ..EventQuery::default()
        }
    }

    /// This page's address with another cursor or city.
    fn href(&self, city: &str, cursor: &str) -> String {
        let pairs = [("q", self.q.as_str()), ("city", city), ("cursor", cursor)];
        let query: Vec<String> = pairs
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}={}", context::percent_encode(value)))
            .collect();
        if query.is_empty() {
            "/".to_owned()
        } else {
            format!("/?{}", query.join("&"))
        }
    }
}

/// What is on.
#[component]
pub fn HomePage() -> impl IntoView {
    let asked = Asked::read();
    page(async move {
        let flash = context::take_flash();
        let hold_minutes = context::site()?.hold_seconds / 60;
        let events = context::port::<dyn Events>()?;
        let cities = events.cities().await?;
        // A cursor that somebody has kept too long is no reason for an error page.
        let list = match events.list(asked.query()).await {
            Err(AppError::Invalid(_)) => {
                let first = EventQuery {
                    cursor: None,
                    ..asked.query()
                };
                events.list(first).await?
            }
            list => list?,
        };
        let next = list.next.map(|cursor| asked.href(&asked.city, &cursor));
        let heading = match (asked.q.as_str(), asked.city.as_str()) {
            ("", "") => "What is on".to_owned(),
            ("", city) => format!("What is on in {city}"),
            (q, "") => format!("\u{201c}{q}\u{201d}"),
            (q, city) => format!("\u{201c}{q}\u{201d} in {city}"),
        };
        let title = if asked.is_everything() {
            String::new()
        } else {
            heading.clone()
        };
        let nothing = list.events.is_empty();
        Ok(view! {
            <Title text=title/>
            {flash_message(flash.as_ref())}
            {asked.is_everything().then(|| hero(hold_minutes))}
            <section aria-labelledby="what-is-on">
                {list_heading(&asked, heading)}
                {city_chips(&asked, cities)}
                <ul class="cards">
                    {list.events.into_iter().map(|event| card(&event)).collect_view()}
                </ul>
                {nothing.then(|| nothing_found(&asked))}
                {next.map(|href| view! {
                    <p class="more"><a class="button button-quiet" href=href>"More events"</a></p>
                })}
            </section>
        }
        .into_any())
    })
}

/// Below the hero it is the second heading; a search has no other.
fn list_heading(asked: &Asked, heading: String) -> AnyView {
    if asked.is_everything() {
        view! { <h2 class="section-title" id="what-is-on">{heading}</h2> }.into_any()
    } else {
        view! { <h1 class="display" id="what-is-on">{heading}</h1> }.into_any()
    }
}

fn hero(hold_minutes: i64) -> impl IntoView {
    let held = if hold_minutes > 0 {
        format!("held for you for {hold_minutes} minutes")
    } else {
        "held for you".to_owned()
    };
    view! {
        <section class="hero">
            <h1 class="display hero-title">"Tonight could be the good one."</h1>
            <p class="lead">
                "Tickets from people and houses. What you choose is " {held}
                " while you pay. The price you see is the price you pay."
            </p>
        </section>
    }
}

fn city_chips(asked: &Asked, cities: Vec<City>) -> impl IntoView + use<> {
    let chosen = asked.city.to_lowercase();
    let everywhere = view! {
        <a class="chip" href=asked.href("", "") aria-current=chosen.is_empty().then_some("true")>
            "Everywhere"
        </a>
    };
    let chips = cities
        .into_iter()
        .map(|city| {
            let current = city.name.to_lowercase() == chosen;
            view! {
                <a
                    class="chip"
                    href=asked.href(&city.name, "")
                    aria-current=current.then_some("true")
                >
                    {city.name.clone()} " " <span class="chip-count">{city.events}</span>
                </a>
            }
        })
        .collect_view();
    view! { <nav class="chips" aria-label="Cities">{everywhere} {chips}</nav> }
}

fn nothing_found(asked: &Asked) -> impl IntoView + use<> {
    let text = if asked.is_everything() {
        "Nothing is on yet. Be the first: create an event and list a ticket."
    } else {
        "Nothing matches. Try fewer words, or another city."
    };
    view! {
        <div class="empty">
            <p>{text}</p>
            <p class="row">
                <a class="button" href="/sell">"Sell a ticket"</a>
                <a class="button button-quiet" href="/">"See everything"</a>
            </p>
        </div>
    }
}

/// What is left and from how much, as every list of events says it.
fn from_price(event: &Event) -> AnyView {
    match event.price_from_minor {
        Some(minor) => {
            let left = match event.tickets_available {
                1 => "last ticket".to_owned(),
                few @ 2..=8 => format!("{few} tickets left"),
                _ => String::new(),
            };
            view! {
                <p class="from">
                    "from " <strong>{Money::new(minor, event.currency).to_string()}</strong>
                    {(!left.is_empty()).then(|| view! { <span class="few">{left}</span> })}
                </p>
            }
            .into_any()
        }
        None => view! { <p class="from quiet">"No tickets right now"</p> }.into_any(),
    }
}

fn card(event: &Event) -> impl IntoView + use<> {
    let (day, month) = day_and_month(event.starts_at, &event.time_zone);
    view! {
        <li class="card">
            <a class="card-link" href=format!("/events/{}", event.id)>
                <div class="card-art">
                    {poster(&event.title)}
                    <span class="date-badge" aria-hidden="true">
                        <b>{day}</b>
                        {month}
                    </span>
                </div>
                <div class="card-body">
                    <h3 class="card-title">{event.title.clone()}</h3>
                    <p class="quiet">{when(event.starts_at, &event.time_zone)}</p>
                    <p class="quiet">{event.venue.clone()} ", " {event.city.clone()}</p>
                    {from_price(event)}
                </div>
            </a>
        </li>
    }
}

/// One event and what is for sale.
#[component]
pub fn EventPage() -> impl IntoView {
    let id = use_params_map().with_untracked(|params| params.get("id").unwrap_or_default());
    page(async move {
        let flash = context::take_flash();
        let (events, tickets) = (
            context::port::<dyn Events>()?,
            context::port::<dyn Tickets>()?,
        );
        let viewer = context::viewer();
        let event = find(&events, &id).await?;
        let offers = tickets.offers(event.id).await?;
        let over = event.starts_at <= context::now();
        let sale = if over {
            view! { <p class="notice">"This event has begun. Its tickets are no longer traded."</p> }
                .into_any()
        } else {
            for_sale(&event, offers, viewer.as_ref(), flash.as_ref())
        };
        Ok(view! {
            <Title text=event.title.clone()/>
            {flash_message(flash.as_ref())}
            <article class="event">
                <header class="event-head">
                    <div class="event-art">{poster(&event.title)}</div>
                    <div class="event-facts">
                        <h1 class="display">{event.title.clone()}</h1>
                        <p class="fact">
                            {icon(Icon::Clock)} {when_in_full(event.starts_at, &event.time_zone)}
                        </p>
                        <p class="fact">
                            {icon(Icon::Place)} {event.venue.clone()} ", " {event.city.clone()}
                        </p>
                        <div class="prose">{paragraphs(&event.description)}</div>
                    </div>
                </header>
                {sale}
            </article>
        }
        .into_any())
    })
}

/// The event that a path or a query names.
pub async fn find(events: &Arc<dyn Events>, id: &str) -> AppResult<Event> {
    let id: EventId = id.parse().map_err(|_| AppError::NotFound)?;
    events.get(id).await
}

fn paragraphs(text: &str) -> impl IntoView + use<> {
    text.split("\n\n")
        .map(str::trim)
        .filter(|paragraph| !paragraph.is_empty())
        .map(|paragraph| view! { <p>{paragraph.to_owned()}</p> })
        .collect_view()
}
