//! `/`: upcoming events and the filters for them, which are all in the URL.

use super::{Spot, cover, filters::EventFilters};
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

/// The description for search engines and link previews.
const ABOUT: &str = "Tickets for theatre, music, comedy and more. They are held for you while you pay, and the price \
     you see is the price you pay.";

/// Cities offered as filters, besides the selected one.
const CITIES_SHOWN: usize = 10;
/// Cards that are visible at once in most windows.
const CARDS_FIRST: usize = 4;

#[component]
pub fn HomePage() -> impl IntoView {
    let filters = EventFilters::from_url();
    page(async move {
        let flash = context::take_flash();
        let site = context::site()?;
        let events = context::port::<dyn Events>()?;
        let cities = events.list_cities().await?;
        let count = events.count(filters.query()).await?;
        let (filters, list) = list(&events, filters).await?;
        let alternatives = if list.events.is_empty() {
            find_alternatives(&events, &filters).await?
        } else {
            Vec::new()
        };
        let title = if filters.is_everything() {
            String::new()
        } else {
            filters.heading()
        };
        let text = if title.is_empty() {
            ABOUT.to_owned()
        } else {
            format!("{title}. {ABOUT}")
        };
        // Search engines index one page for each category and city, not other filters and later pages.
        let canonical = EventFilters {
            city: filters.city.clone(),
            category: filters.category,
            ..EventFilters::default()
        };
        let no_index = canonical != filters.first_page();
        Ok(view! {
            {link_preview(LinkPreview { title, text, path: canonical.href(), image: None })}
            {no_index.then(|| view! { <Meta name="robots" content="noindex"/> })}
            {flash_message(flash.as_ref())}
            {hero(&filters, &in_minutes(site.hold_seconds))}
            {results(&filters, cities, count, list, alternatives)}
        }
        .into_any())
    })
}

/// Lists the requested page, or the first page if the cursor is invalid.
async fn list(
    events: &Arc<dyn Events>,
    filters: EventFilters,
) -> AppResult<(EventFilters, EventList)> {
    match events.list(filters.query()).await {
        Err(AppError::Invalid(_)) => {
            let first = filters.first_page();
            let list = events.list(first.query()).await?;
            Ok((first, list))
        }
        list => Ok((filters, list?)),
    }
}

/// The filters without one of them that match any events, and the number of events; if there are none, each
/// filter alone.
async fn find_alternatives(
    events: &Arc<dyn Events>,
    filters: &EventFilters,
) -> AppResult<Vec<(EventFilters, i64)>> {
    let mut found = Vec::new();
    for candidates in [filters.with_one_fewer(), filters.with_one_alone()] {
        for filters in candidates {
            let count = events.count(filters.query()).await?;
            if count > 0 {
                found.push((filters, count));
            }
        }
        if !found.is_empty() {
            break;
        }
    }
    Ok(found)
}

fn hero(filters: &EventFilters, held: &str) -> AnyView {
    let short = format!("Tickets held for {held} while you pay.");
    let kept = filters
        .fields()
        .into_iter()
        .filter(|(name, _)| *name != "q")
        .map(|(name, value)| hidden(name, value))
        .collect_view();
    view! {
        <section class="hero">
            <h1 class="display hero-title">"Tonight could be the good one."</h1>
            <p class="lead">
                "Tickets are held for you for " {held.to_owned()}
                " while you pay. The price you see is the price you pay."
            </p>
            <p class="lead-short quiet">{short}</p>
            <form class="find" role="search" action="/" method="get">
                <div class="search find-field">
                    {icon(Icon::Search)}
                    <SearchField q=filters.q.clone()/>
                </div>
                {kept}
                <button class="button" type="submit">"Search"</button>
            </form>
        </section>
    }
    .into_any()
}

/// The part of the page that `SearchField` replaces after a search.
fn results(
    filters: &EventFilters,
    cities: Vec<City>,
    count: i64,
    list: EventList,
    alternatives: Vec<(EventFilters, i64)>,
) -> AnyView {
    let nothing = list.events.is_empty();
    let first = filters.first_page();
    let back = (!filters.cursor.is_empty()).then(|| {
        view! { <a class="button button-quiet" href=first.href()>"From the beginning"</a> }
    });
    let next = list.next.map(|cursor| {
        let href = EventFilters {
            cursor,
            ..first.clone()
        }
        .href();
        view! { <a class="button button-quiet" href=href>"More events"</a> }
    });
    let pager = (back.is_some() || next.is_some()).then(|| {
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
                <h2 class="section-title" id="what-is-on">{filters.heading()}</h2>
                <p class="quiet" id="how-many">{how_many(count)}</p>
            </div>
            <ul class="cards">
                {list.events.iter().enumerate().map(|(place, event)| card(place, event)).collect_view()}
            </ul>
            {nothing.then(|| nothing_found(&first, alternatives))}
            {pager}
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

fn chip(
    to: &EventFilters,
    chosen: bool,
    text: String,
    count: Option<i64>,
) -> impl IntoView + use<> {
    let count = count.map(|count| view! { " " <span class="chip-count">{count}</span> });
    view! {
        <a class="chip" href=to.href() aria-current=chosen.then_some("true")>{text} {count}</a>
    }
}

/// A row of chips. On a phone, a line with the selected value that expands.
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

fn days_words(filters: &EventFilters) -> String {
    match filters.when {
        _ if filters.has_dates() => "Dates".to_owned(),
        Some(when) => when.label().to_owned(),
        None => "Any day".to_owned(),
    }
}

fn category_words(filters: &EventFilters) -> String {
    let chosen = filters.category.map(|category| category.label().to_owned());
    chosen.unwrap_or_else(|| "Everything".to_owned())
}

fn city_words(filters: &EventFilters) -> String {
    if filters.city.is_empty() {
        "Everywhere".to_owned()
    } else {
        filters.city.clone()
    }
}

fn day_chips(filters: &EventFilters) -> AnyView {
    let on = |when| EventFilters {
        when,
        from: None,
        to: None,
        ..filters.clone()
    };
    let dates = filters.has_dates();
    let any = chip(
        &on(None),
        filters.when.is_none() && !dates,
        "Any day".to_owned(),
        None,
    );
    let chips = When::ALL
        .map(|when| {
            let chosen = filters.when == Some(when);
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

/// The form for a range of days. Hidden until its URL fragment is the target.
fn dates(filters: &EventFilters) -> AnyView {
    let class = if filters.has_dates() {
        "dates dates-chosen"
    } else {
        "dates"
    };
    let day = |day: Option<Date>| day.map(|day| day.to_string());
    let kept = filters
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
                <input class="input" type="date" name="from" value=day(filters.from)/>
            </label>
            <label class="dates-field">
                <span class="label">"To"</span>
                <input class="input" type="date" name="to" value=day(filters.to)/>
            </label>
            <button class="button button-quiet" type="submit">"Show these days"</button>
        </form>
    }
    .into_any()
}

fn category_chips(filters: &EventFilters) -> AnyView {
    let of = |category| EventFilters {
        category,
        ..filters.clone()
    };
    let all = chip(
        &of(None),
        filters.category.is_none(),
        "Everything".to_owned(),
        None,
    );
    let chips = Category::ALL
        .map(|category| {
            let chosen = filters.category == Some(category);
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

fn city_chips(filters: &EventFilters, cities: Vec<City>) -> AnyView {
    let here = filters.city.to_lowercase();
    let at = |city: &str| EventFilters {
        city: city.to_owned(),
        ..filters.clone()
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

fn nothing_found(filters: &EventFilters, alternatives: Vec<(EventFilters, i64)>) -> AnyView {
    let text = match (filters.is_everything(), alternatives.is_empty()) {
        (true, _) => "Nothing is on yet. Be the first: create an event and list a ticket.",
        (_, true) if filters.q.is_empty() => {
            "Nothing like that is on. Try other days, or everything."
        }
        (_, true) => "Nothing matches. Try fewer words, or another city.",
        (_, false) => "Nothing matches all of that at once. There is:",
    };
    let any = !alternatives.is_empty();
    let suggestions = alternatives
        .into_iter()
        .map(|(fewer, count)| {
            let all = if count == 1 { "See" } else { "See all" };
            let text = format!("{all} {}{}", how_many(count), fewer.description());
            view! { <li><a class="button button-quiet" href=fewer.href()>{text}</a></li> }
        })
        .collect_view();
    let (everything, sell) = if filters.is_everything() {
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

/// The lowest price and, if few, the number of tickets.
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
