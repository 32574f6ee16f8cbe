//! `/sell` and `/tickets`.

use super::{OwnedTicket, TicketStatus, Tickets, api, form_of};
use crate::{
    accounts::Viewer,
    context::{self, Flash},
    error::AppResult,
    events::{COUNTRIES, Event, EventQuery, Events, api::Create, find, when},
    money::{Currency, Money},
    orders::countdown_text,
    ui::{
        Choice, Form, Input, area, choose, field, flash_message, hidden, page_for, post_to, poster,
        problem_at_top,
    },
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;
use std::sync::Arc;

/// Lists tickets: first the event, then the ticket.
#[component]
pub fn SellPage() -> impl IntoView {
    let (event, q) = use_query_map().with_untracked(|query| {
        (
            query.get("event").unwrap_or_default(),
            query.get("q").unwrap_or_default(),
        )
    });
    page_for(|viewer| async move {
        let flash = context::take_flash();
        let events = context::port::<dyn Events>()?;
        if event.is_empty() {
            return choose_event(&events, &viewer, q.trim(), flash.as_ref()).await;
        }
        let event = find(&events, &event).await?;
        Ok(list_form(&event, flash.as_ref()))
    })
}

async fn choose_event(
    events: &Arc<dyn Events>,
    viewer: &Viewer,
    q: &str,
    flash: Option<&Flash>,
) -> AppResult<AnyView> {
    let own = events.created_by(viewer).await?;
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
    let form = Form::new("event", flash);
    let none = !q.is_empty() && found.is_empty();
    let q = q.to_owned();
    Ok(view! {
        <Title text="Sell"/>
        <section class="narrow">
            <h1 class="display">"Sell tickets"</h1>
            {flash_message(flash)}
            <section class="panel stack" aria-labelledby="which">
                <h2 class="title" id="which">"For which event?"</h2>
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
                <summary class="title">"It is not here yet: create the event"</summary>
                {event_form(&form)}
            </details>
        </section>
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
                            <strong>{event.title.clone()}</strong>
                            <br/>
                            <span class="quiet">
                                {when(event.starts_at, &event.time_zone)} " · " {event.venue} ", " {event.city}
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

fn event_form(form: &Form) -> impl IntoView + use<> {
    let countries = COUNTRIES
        .iter()
        .map(|(code, name)| Choice::new(*code, *name))
        .collect();
    let currencies = Currency::all()
        .map(|code| Choice::new(code.code(), code.code()))
        .collect();
    let zones = jiff::tz::db()
        .available()
        .map(|zone| zone.as_str().to_owned())
        .filter(|zone| {
            zone.contains('/') && !zone.starts_with("Etc/") && !zone.starts_with("SystemV/")
        })
        .map(|zone| Choice::new(zone.clone(), zone.replace('_', " ")))
        .collect();
    let text = |name, label, max| Input {
        name,
        label,
        max: Some(max),
        ..Input::default()
    };
    view! {
        {post_to::<Create>("stack", view! {
            {problem_at_top(form)}
            {field(form, text("title", "Title", 120))}
            {field(form, text("venue", "Venue", 120))}
            <div class="columns">
                {field(form, text("city", "City", 80))}
                {choose(form, Input { name: "country", label: "Country", value: "GB".to_owned(), ..Input::default() }, countries)}
            </div>
            <div class="columns">
                {field(form, Input { name: "date", label: "Date", kind: "date", ..Input::default() })}
                {field(form, Input { name: "time", label: "Begins at", kind: "time", value: "19:30".to_owned(), ..Input::default() })}
            </div>
            <div class="columns">
                {choose(form, Input {
                    name: "time_zone", label: "Time zone of the venue",
                    value: "Europe/London".to_owned(), ..Input::default()
                }, zones)}
                {choose(form, Input {
                    name: "currency", label: "Currency of its tickets",
                    value: "GBP".to_owned(), ..Input::default()
                }, currencies)}
            </div>
            {area(form, Input {
                name: "description", label: "What to expect", optional: true, max: Some(5000),
                ..Input::default()
            })}
            <button class="button" type="submit">"Create the event"</button>
        })}
    }
}

fn list_form(event: &Event, flash: Option<&Flash>) -> AnyView {
    let form = Form::new("list", flash);
    let currency = event.currency.code();
    let example = Money::new(2500, event.currency).plain();
    view! {
        <Title text=format!("Sell: {}", event.title)/>
        <section class="narrow">
            <h1 class="display">"Sell tickets"</h1>
            {flash_message(flash)}
            <div class="panel event-strip">
                <div class="strip-art">{poster(&event.title)}</div>
                <p>
                    <strong><a href=format!("/events/{}", event.id)>{event.title.clone()}</a></strong>
                    <br/>
                    <span class="quiet">
                        {when(event.starts_at, &event.time_zone)} " · " {event.venue.clone()} ", " {event.city.clone()}
                    </span>
                </p>
            </div>
            {post_to::<api::PutOnSale>("panel stack", view! {
                {problem_at_top(&form)}
                {hidden("event_id", event.id.to_string())}
                <div class="columns">
                    {field(&form, Input {
                        name: "price", label: "Price of each", inputmode: "decimal", max: Some(14),
                        hint: Some(format!("In {currency}, all that the buyer pays: {example}, for one.")),
                        ..Input::default()
                    })}
                    {field(&form, Input {
                        name: "face_value", label: "Face value", inputmode: "decimal", max: Some(14),
                        optional: true,
                        hint: Some("What was first paid for each. Buyers see it.".to_owned()),
                        ..Input::default()
                    })}
                </div>
                {field(&form, Input {
                    name: "section", label: "Section", optional: true, max: Some(40),
                    hint: Some("Stalls, Balcony, Standing. Empty for general admission.".to_owned()),
                    ..Input::default()
                })}
                <div class="columns">
                    {field(&form, Input { name: "row", label: "Row", optional: true, max: Some(10), ..Input::default() })}
                    {field(&form, Input { name: "seat", label: "Seat", optional: true, max: Some(10), ..Input::default() })}
                </div>
                {field(&form, Input {
                    name: "quantity", label: "How many alike", kind: "number", value: "1".to_owned(),
                    inputmode: "numeric",
                    hint: Some("Up to 10,000. A numbered seat is one ticket.".to_owned()),
                    ..Input::default()
                })}
                <button class="button" type="submit">"Put on sale"</button>
            })}
            <p class="quiet">
                "You can change price and seat, or take a ticket back, whenever nobody is paying for it."
            </p>
        </section>
    }
    .into_any()
}

/// What one has bought, and what one sells.
#[component]
pub fn TicketsPage() -> impl IntoView {
    page_for(|viewer| async move {
        let flash = context::take_flash();
        let tickets = context::port::<dyn Tickets>()?;
        let bought = tickets.bought_by(&viewer).await?;
        let sold = tickets.sold_by(&viewer).await?;
        let name = viewer.user.name;
        let (no_bought, no_sold) = (bought.is_empty(), sold.is_empty());
        Ok(view! {
            <Title text="Tickets"/>
            <h1 class="display">"Tickets"</h1>
            {flash_message(flash.as_ref())}
            <section aria-labelledby="bought">
                <h2 class="section-title" id="bought">"Yours to use"</h2>
                <ul class="stubs" class:hidden=no_bought>
                    {bought.into_iter().map(|ticket| stub(ticket, &name)).collect_view()}
                </ul>
                {no_bought.then(|| view! {
                    <div class="empty">
                        <p>"You have no tickets yet."</p>
                        <p><a class="button" href="/">"See what is on"</a></p>
                    </div>
                })}
            </section>
            <section aria-labelledby="for-sale">
                <div class="sale-head">
                    <h2 class="section-title" id="for-sale">"Yours for sale"</h2>
                    <a class="button button-quiet button-small" href="/sell">"Sell more"</a>
                </div>
                <ul class="rows panel" class:hidden=no_sold>
                    {sold.into_iter().map(|ticket| listing(ticket, flash.as_ref())).collect_view()}
                </ul>
                {no_sold.then(|| view! { <p class="quiet">"You are not selling anything."</p> })}
            </section>
        }
        .into_any())
    })
}

fn stub(owned: OwnedTicket, holder: &str) -> impl IntoView + use<> {
    let ticket = owned.ticket;
    let id = ticket.id.to_string();
    let number = id
        .get(id.len().saturating_sub(8)..)
        .unwrap_or_default()
        .to_uppercase();
    view! {
        <li class="stub">
            <div class="stub-main">
                <p class="stub-event">
                    <a href=format!("/events/{}", ticket.event_id)>{owned.event_title}</a>
                </p>
                <p>{owned.event_when}</p>
                <p>{owned.event_place}</p>
            </div>
            <div class="stub-end">
                <p class="stub-seat">{ticket.label}</p>
                <p class="quiet">{holder.to_owned()}</p>
                <p class="stub-number">{number}</p>
            </div>
        </li>
    }
}

fn listing(owned: OwnedTicket, flash: Option<&Flash>) -> impl IntoView + use<> {
    let ticket = &owned.ticket;
    let (class, status) = match ticket.status {
        TicketStatus::Available => ("badge badge-good", "On sale".to_owned()),
        TicketStatus::Reserved => {
            let left = countdown_text(ticket.reserved_seconds_left.unwrap_or_default());
            ("badge badge-open", format!("Held for {left}"))
        }
        TicketStatus::Sold => ("badge", "Sold".to_owned()),
        TicketStatus::Withdrawn => ("badge", "Withdrawn".to_owned()),
    };
    let form = Form::new(form_of(&ticket.id.to_string()), flash);
    let change = (ticket.status == TicketStatus::Available || form.was_refused())
        .then(|| change_form(&owned, &form));
    let price = ticket.price().to_string();
    let event = format!("/events/{}", ticket.event_id);
    view! {
        <li class="listing">
            <div class="listing-head">
                <span>
                    <strong><a href=event>{owned.event_title}</a></strong>
                    <br/>
                    <span class="quiet">{owned.ticket.label} " · " {owned.event_when}</span>
                </span>
                <span class="order-row-end">
                    <span class=class>{status}</span>
                    <strong>{price}</strong>
                </span>
            </div>
            {change}
        </li>
    }
}

/// Changes a listing, or takes it back.
fn change_form(owned: &OwnedTicket, form: &Form) -> impl IntoView + use<> {
    let ticket = &owned.ticket;
    let id = ticket.id.to_string();
    let what = format!("{}, {}", owned.event_title, ticket.label);
    let text = |name, label, value: &Option<String>, max| Input {
        name,
        label,
        value: value.clone().unwrap_or_default(),
        optional: true,
        max: Some(max),
        ..Input::default()
    };
    view! {
        <details class="listing-edit" open=form.was_refused()>
            <summary aria-label=format!("Change {what}")>"Change"</summary>
            {post_to::<api::Edit>("stack", view! {
                {problem_at_top(form)}
                {hidden("ticket_id", id.clone())}
                {hidden("version", ticket.version.to_string())}
                {field(form, Input {
                    name: "price", label: "Price", value: ticket.price().plain(),
                    inputmode: "decimal", max: Some(14), ..Input::default()
                })}
                <div class="columns">
                    {field(form, text("section", "Section", &ticket.section, 40))}
                    {field(form, text("row", "Row", &ticket.row, 10))}
                    {field(form, text("seat", "Seat", &ticket.seat, 10))}
                </div>
                <button class="button" type="submit">"Save"</button>
            })}
            {post_to::<api::Withdraw>("", view! {
                {hidden("ticket_id", id)}
                <button
                    class="button button-quiet"
                    type="submit"
                    aria-label=format!("Take it off sale: {what}")
                >
                    "Take it off sale"
                </button>
            })}
        </details>
    }
}
