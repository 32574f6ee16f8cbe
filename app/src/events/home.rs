//! `/`: what is on soon, and finding among it. All filters stand in the address.

use super::{Spot, asked::Asked, cover};
use crate::ui::{Icon, LinkPreview, flash_message, hidden, icon, link_preview, page};
use islands::{SearchField, in_minutes};
use jiff::civil::Date;
use leptos::prelude::*;
use leptos_meta::Meta;
use model::{
    error::{AppError, AppResult},
    events::{COUNTED_MAX, Category, City, Event, EventList, Events, When, day_and_month},
    money::Money,
};
use std::sync::Arc;

/// What the shop is, for search engines and shared links.
const ABOUT: &str = "Tickets for theatre, music, comedy and more. They are held for you while you pay, and the price \
     you see is the price you pay.";

/// Cities that are offered, besides the one that is chosen.
const CITIES_SHOWN: usize = 10;
/// Cards that are in sight when the page opens, on most windows.
const CARDS_FIRST: usize = 4;

/// What is on.
#[component]
pub fn HomePage() -> impl IntoView {
    let asked = Asked::read();
    page(async move {
        let flash = context::take_flash();
        let site = context::site()?;
        let events = context::port::<dyn Events>()?;
        let cities = events.cities().await?;
        let count = events.count(asked.query()).await?;
        let (asked, list) = listed(&events, asked).await?;
        let instead = if list.events.is_empty() {
            suggestions(&events, &asked).await?
        } else {
            Vec::new()
        };
        let title = if asked.is_everything() {
            String::new()
        } else {
            asked.heading()
        };
        let text = if title.is_empty() {
            ABOUT.to_owned()
        } else {
            format!("{title}. {ABOUT}")
        };
        // One address for each kind and city; other filters and later pages are views of those.
        let proper = Asked {
            city: asked.city.clone(),
            category: asked.category,
            ..Asked::default()
        };
        let of_the_moment = proper != asked.first_page();
        Ok(view! {
            {link_preview(LinkPreview { title, text, path: proper.href(), image: None })}
            {of_the_moment.then(|| view! { <Meta name="robots" content="noindex"/> })}
            {flash_message(flash.as_ref())}
            {hero(&asked, &in_minutes(site.hold_seconds))}
            {results(&asked, cities, count, list, instead)}
        }
        .into_any())
    })
}

/// The page that was asked for. A cursor that somebody has kept too long is no reason for an error
/// page: then it is the first.
async fn listed(events: &Arc<dyn Events>, asked: Asked) -> AppResult<(Asked, EventList)> {
    match events.list(asked.query()).await {
        Err(AppError::Invalid(_)) => {
            let first = asked.first_page();
            let list = events.list(first.query()).await?;
            Ok((first, list))
        }
        list => Ok((asked, list?)),
    }
}

/// What would be found with one filter fewer, and how much; if that is nothing, with one alone.
async fn suggestions(events: &Arc<dyn Events>, asked: &Asked) -> AppResult<Vec<(Asked, i64)>> {
    let mut found = Vec::new();
    for instead in [asked.with_one_fewer(), asked.with_one_alone()] {
        for asked in instead {
            let count = events.count(asked.query()).await?;
            if count > 0 {
                found.push((asked, count));
            }
        }
        if !found.is_empty() {
            break;
        }
    }
    Ok(found)
}

fn hero(asked: &Asked, held: &str) -> AnyView {
    let held = format!("held for you for {held}");
    let kept = asked
        .fields()
        .into_iter()
        .filter(|(name, _)| *name != "q")
        .map(|(name, value)| hidden(name, value))
        .collect_view();
    view! {
        <section class="hero">
            <h1 class="display hero-title">"Tonight could be the good one."</h1>
            <p class="lead">
                "Tickets are " {held} " while you pay. The price you see is the price you pay."
            </p>
            <form class="find" role="search" action="/" method="get">
                <div class="search find-field">
                    {icon(Icon::Search)}
                    <SearchField q=asked.q.clone()/>
                </div>
                {kept}
                <button class="button" type="submit">"Search"</button>
            </form>
        </section>
    }
    .into_any()
}

/// All that a search changes: `SearchField` puts it in place of what was there before.
fn results(
    asked: &Asked,
    cities: Vec<City>,
    count: i64,
    list: EventList,
    instead: Vec<(Asked, i64)>,
) -> AnyView {
    let nothing = list.events.is_empty();
    let first = asked.first_page();
    let back = (!asked.cursor.is_empty()).then(|| {
        view! { <a class="button button-quiet" href=first.href()>"From the beginning"</a> }
    });
    let next = list.next.map(|cursor| {
        let href = Asked {
            cursor,
            ..first.clone()
        }
        .href();
        view! { <a class="button button-quiet" href=href>"More events"</a> }
    });
    let turns = (back.is_some() || next.is_some()).then(|| {
        view! { <p class="more row">{back} {next}</p> }
    });
    view! {
        <section class="results" id="results" aria-labelledby="what-is-on">
            <div class="filters">
                {filter("Days", days_words(&first), view! { {day_chips(&first)} {dates(&first)} })}
                {filter("Categories", category_words(&first), category_chips(&first))}
                {filter("Cities", city_words(&first), city_chips(&first, cities))}
            </div>
            <div class="results-head">
                <h2 class="section-title" id="what-is-on">{asked.heading()}</h2>
                <p class="quiet" id="how-many">{how_many(count)}</p>
            </div>
            <ul class="cards">
                {list.events.iter().enumerate().map(|(place, event)| card(place, event)).collect_view()}
            </ul>
            {nothing.then(|| nothing_found(&first, instead))}
            {turns}
        </section>
    }
    .into_any()
}

fn how_many(count: i64) -> String {
    match count {
        0 => "No events".to_owned(),
        1 => "1 event".to_owned(),
        COUNTED_MAX.. => format!("{COUNTED_MAX} events or more"),
        count => format!("{count} events"),
    }
}

fn chip(to: &Asked, chosen: bool, text: String, count: Option<i64>) -> impl IntoView + use<> {
    let count = count.map(|count| view! { " " <span class="chip-count">{count}</span> });
    view! {
        <a class="chip" href=to.href() aria-current=chosen.then_some("true")>{text} {count}</a>
    }
}

/// A row of chips. On a phone it is one line that says what is chosen, and opens.
fn filter(name: &'static str, chosen: String, chips: impl IntoView) -> impl IntoView {
    view! {
        <details class="filter" name="filter">
            <summary class="chip">
                <span class="sr-only">{name} ": "</span>
                <bdi class="filter-chosen">{chosen}</bdi>
            </summary>
            {chips}
        </details>
    }
}

fn days_words(asked: &Asked) -> String {
    match asked.when {
        _ if asked.has_dates() => "Dates".to_owned(),
        Some(when) => when.label().to_owned(),
        None => "Any day".to_owned(),
    }
}

fn category_words(asked: &Asked) -> String {
    let chosen = asked.category.map(|category| category.label().to_owned());
    chosen.unwrap_or_else(|| "Everything".to_owned())
}

fn city_words(asked: &Asked) -> String {
    if asked.city.is_empty() {
        "Everywhere".to_owned()
    } else {
        asked.city.clone()
    }
}

fn day_chips(asked: &Asked) -> AnyView {
    let on = |when| Asked {
        when,
        from: None,
        to: None,
        ..asked.clone()
    };
    let dates = asked.has_dates();
    let any = chip(
        &on(None),
        asked.when.is_none() && !dates,
        "Any day".to_owned(),
        None,
    );
    let chips = When::ALL
        .map(|when| {
            let chosen = asked.when == Some(when);
            chip(&on(Some(when)), chosen, when.label().to_owned(), None)
        })
        .collect_view();
    view! {
       <nav class="chips" aria-label="Days">
           {any} {chips}
           <a class="chip" href="#dates" aria-current=dates.then_some("true")>"Dates"</a>
       </nav>
    }
    .into_any()
}

/// From one day to another, for who plans ahead. Shown once it is asked for, by its address.
fn dates(asked: &Asked) -> AnyView {
    let class = if asked.has_dates() {
        "dates dates-chosen"
    } else {
        "dates"
    };
    let day = |day: Option<Date>| day.map(|day| day.to_string());
    let kept = asked
        .fields()
        .into_iter()
        .filter(|(name, _)| !["when", "from", "to"].contains(name))
        .map(|(name, value)| hidden(name, value))
        .collect_view();
    view! {
        <form class=class id="dates" action="/" method="get">
            {kept}
            <label class="dates-field">
                <span class="label">"From"</span>
                <input class="input" type="date" name="from" value=day(asked.from)/>
            </label>
            <label class="dates-field">
                <span class="label">"To"</span>
                <input class="input" type="date" name="to" value=day(asked.to)/>
            </label>
            <button class="button button-quiet" type="submit">"Show these days"</button>
        </form>
    }
    .into_any()
}

fn category_chips(asked: &Asked) -> AnyView {
    let of = |category| Asked {
        category,
        ..asked.clone()
    };
    let all = chip(
        &of(None),
        asked.category.is_none(),
        "Everything".to_owned(),
        None,
    );
    let chips = Category::ALL
        .map(|category| {
            let chosen = asked.category == Some(category);
            chip(
                &of(Some(category)),
                chosen,
                category.label().to_owned(),
                None,
            )
        })
        .collect_view();
    view! { <nav class="chips" aria-label="Categories">{all} {chips}</nav> }.into_any()
}

fn city_chips(asked: &Asked, cities: Vec<City>) -> AnyView {
    let here = asked.city.to_lowercase();
    let at = |city: &str| Asked {
        city: city.to_owned(),
        ..asked.clone()
    };
    let everywhere = chip(&at(""), here.is_empty(), "Everywhere".to_owned(), None);
    let chips = cities
        .into_iter()
        .enumerate()
        .map(|(place, city)| (place, city.name.to_lowercase() == here, city))
        .filter(|(place, chosen, _)| *place < CITIES_SHOWN || *chosen)
        .map(|(_, chosen, city)| chip(&at(&city.name), chosen, city.name, Some(city.events)))
        .collect_view();
    view! { <nav class="chips" aria-label="Cities">{everywhere} {chips}</nav> }.into_any()
}

fn nothing_found(asked: &Asked, instead: Vec<(Asked, i64)>) -> AnyView {
    let text = match (asked.is_everything(), instead.is_empty()) {
        (true, _) => "Nothing is on yet. Be the first: create an event and list a ticket.",
        (_, true) if asked.q.is_empty() => {
            "Nothing like that is on. Try other days, or everything."
        }
        (_, true) => "Nothing matches. Try fewer words, or another city.",
        (_, false) => "Nothing matches all of that at once. There is:",
    };
    let any = !instead.is_empty();
    let suggestions = instead
        .into_iter()
        .map(|(fewer, count)| {
            let all = if count == 1 { "See" } else { "See all" };
            let text = format!("{all} {}{}", how_many(count), fewer.narrowed());
            view! { <li><a class="button button-quiet" href=fewer.href()>{text}</a></li> }
        })
        .collect_view();
    let (everything, sell) = if asked.is_everything() {
        (None, "button")
    } else {
        let everything = view! { <a class="button" href="/">"See everything"</a> };
        (Some(everything), "button button-quiet")
    };
    view! {
        <div class="empty">
            <p>{text}</p>
            {any.then(|| view! { <ul class="suggestions">{suggestions}</ul> })}
            <p class="row">{everything} <a class=sell href="/sell">"Sell a ticket"</a></p>
        </div>
    }
    .into_any()
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

fn card(place: usize, event: &Event) -> impl IntoView + use<> {
    let spot = if place < CARDS_FIRST {
        Spot::Card
    } else {
        Spot::LaterCard
    };
    let (day, month) = day_and_month(event.starts_at, &event.time_zone);
    view! {
        <li class="card">
            <a class="card-link" href=format!("/events/{}", event.id)>
                <div class="card-art">
                    {cover(event, spot)}
                    <span class="date-badge" aria-hidden="true">
                        <b>{day}</b>
                        {month}
                    </span>
                </div>
                <div class="card-body">
                    <h3 class="card-title" dir="auto">{event.title.clone()}</h3>
                    <p class="quiet">{event.when()}</p>
                    <p class="quiet"><bdi>{event.venue.clone()}</bdi> ", " <bdi>{event.city.clone()}</bdi></p>
                    {from_price(event)}
                </div>
            </a>
        </li>
    }
}
