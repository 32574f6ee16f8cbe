//! `/sell` and `/tickets`.

use super::{OwnedTicket, TicketStatus, Tickets, api, form_of, stub};
use crate::{
    accounts::Viewer,
    context::{self, Flash},
    error::AppResult,
    events::{
        COUNTRIES, Category, Event, EventQuery, Events, api::Create, event_strip, find, when,
    },
    ids::TicketId,
    money::{Currency, Money},
    orders::countdown_text,
    refunds::{
        Owed, RefundStatus, Refunds, TicketRefund, owed_line, told_to_buyer, told_to_seller,
    },
    ui::{
        Choice, Form, Input, area, choose, field, flash_message, hidden, page_for, post_to,
        problem_at_top,
    },
};
use jiff::{SignedDuration, Timestamp};
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
    let categories = Category::ALL
        .map(|category| Choice::new(category.code(), category.label()))
        .into();
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
            {choose(form, Input {
                name: "category", label: "Category",
                value: Category::default().code().to_owned(), ..Input::default()
            }, categories)}
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
            {event_strip(event, None)}
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

/// How long after it a refund is still shown beside the tickets, in days. The order always does.
const REFUND_SHOWN_DAYS: i64 = 30;

/// What one has bought, and what one sells.
#[component]
pub fn TicketsPage() -> impl IntoView {
    page_for(|viewer| async move {
        let flash = context::take_flash();
        let recently = context::now() - SignedDuration::from_hours(24 * REFUND_SHOWN_DAYS);
        let tickets = context::port::<dyn Tickets>()?;
        let refunds = context::port::<dyn Refunds>()?;
        let bought = tickets.bought_by(&viewer).await?;
        let paid_back = tickets.paid_back_to(&viewer).await?;
        let of_bought = refunds.of_bought(&viewer).await?;
        let sold = tickets.sold_by(&viewer).await?;
        let of_sold = refunds.of_sold(&viewer).await?;
        let owed = refunds.owed(&viewer).await?;
        Ok(view! {
            <Title text="Tickets"/>
            <h1 class="display">"Tickets"</h1>
            {flash_message(flash.as_ref())}
            {to_use(bought, &of_bought, &viewer.user.name)}
            {refunded(paid_back, &of_bought, recently)}
            {for_sale(sold, &of_sold, &owed, flash.as_ref())}
        }
        .into_any())
    })
}

/// The newest refund of a ticket.
fn newest(refunds: &[TicketRefund], ticket: TicketId) -> Option<&TicketRefund> {
    refunds.iter().find(|refund| refund.ticket_id == ticket)
}

fn to_use(
    bought: Vec<OwnedTicket>,
    refunds: &[TicketRefund],
    holder: &str,
) -> impl IntoView + use<> {
    let nothing = bought.is_empty();
    let stubs = bought
        .into_iter()
        .map(|owned| {
            let refund = newest(refunds, owned.ticket.id).map(|refund| refund.status);
            // Whose ticket it is again has bought it once more.
            let refund = refund.filter(|status| *status != RefundStatus::Succeeded);
            stub(owned, holder, refund)
        })
        .collect_view();
    view! {
        <section aria-labelledby="bought">
            <h2 class="section-title" id="bought">"Yours to use"</h2>
            <ul class="stubs" class:hidden=nothing>{stubs}</ul>
            {nothing.then(|| view! {
                <div class="empty">
                    <p>"You have no tickets yet."</p>
                    <p><a class="button" href="/">"See what is on"</a></p>
                </div>
            })}
        </section>
    }
}

/// Tickets that one no longer has, since their money came back; nothing if that is long ago.
fn refunded(
    paid_back: Vec<OwnedTicket>,
    refunds: &[TicketRefund],
    recently: Timestamp,
) -> Option<AnyView> {
    let rows: Vec<_> = paid_back
        .into_iter()
        .filter_map(|owned| {
            let refund = newest(refunds, owned.ticket.id)?;
            (refund.created_at >= recently).then(|| refunded_row(owned, refund))
        })
        .collect();
    if rows.is_empty() {
        return None;
    }
    Some(
        view! {
            <section aria-labelledby="refunded">
                <h2 class="section-title" id="refunded">"Refunded to you"</h2>
                <ul class="rows panel">{rows}</ul>
            </section>
        }
        .into_any(),
    )
}

fn refunded_row(owned: OwnedTicket, refund: &TicketRefund) -> impl IntoView + use<> {
    view! {
        <li class="listing">
            <div class="listing-head">
                <span>
                    <strong>
                        <a href=format!("/orders/{}", refund.order_id)>{owned.event_title}</a>
                    </strong>
                    <br/>
                    <span class="quiet">{owned.ticket.label} " · " {owned.event_when}</span>
                </span>
            </div>
            {told_to_buyer(refund.status, refund.amount())}
        </li>
    }
}

fn for_sale(
    sold: Vec<OwnedTicket>,
    refunds: &[TicketRefund],
    owed: &[Owed],
    flash: Option<&Flash>,
) -> impl IntoView + use<> {
    let nothing = sold.is_empty();
    let rows = sold
        .into_iter()
        .map(|owned| {
            let refund = newest(refunds, owned.ticket.id);
            listing(owned, refund, flash)
        })
        .collect_view();
    view! {
        <section aria-labelledby="for-sale">
            <div class="sale-head">
                <h2 class="section-title" id="for-sale">"Yours for sale"</h2>
                <a class="button button-quiet button-small" href="/sell">"Sell more"</a>
            </div>
            {owed_line(owed)}
            <ul class="rows panel" class:hidden=nothing>{rows}</ul>
            {nothing.then(|| view! { <p class="quiet">"You are not selling anything."</p> })}
        </section>
    }
}

fn listing(
    owned: OwnedTicket,
    refund: Option<&TicketRefund>,
    flash: Option<&Flash>,
) -> impl IntoView + use<> {
    let ticket = &owned.ticket;
    let paid_back = refund.is_some_and(|refund| refund.status == RefundStatus::Succeeded);
    let (class, status) = match ticket.status {
        TicketStatus::Available => ("badge badge-good", "On sale".to_owned()),
        TicketStatus::Reserved => {
            let left = countdown_text(ticket.reserved_seconds_left.unwrap_or_default());
            ("badge badge-open", format!("Held for {left}"))
        }
        TicketStatus::Sold => ("badge", "Sold".to_owned()),
        TicketStatus::Withdrawn if paid_back => ("badge", "Refunded".to_owned()),
        TicketStatus::Withdrawn => ("badge", "Withdrawn".to_owned()),
    };
    let form = Form::new(form_of(&ticket.id.to_string()), flash);
    let change = (ticket.status == TicketStatus::Available || form.was_refused())
        .then(|| change_form(&owned, &form));
    let pay_back = (ticket.status == TicketStatus::Sold).then(|| pay_back(&owned, refund));
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
            {pay_back}
        </li>
    }
}

/// The way to refund a sold ticket, unless its refund is under way.
fn pay_back(owned: &OwnedTicket, refund: Option<&TicketRefund>) -> impl IntoView + use<> {
    let ticket = &owned.ticket;
    // A sold ticket that was paid back before has been sold once more.
    let refund = refund.filter(|refund| refund.status != RefundStatus::Succeeded);
    let told = refund.map(|refund| told_to_seller(refund.status, refund.amount()));
    let under_way = refund.is_some_and(|refund| refund.status == RefundStatus::Pending);
    let what = format!("{}, {}", owned.event_title, ticket.label);
    let href = format!("/tickets/{}/refund", ticket.id);
    let ask = (!under_way).then(|| {
        view! {
            <p class="listing-more">
                <a href=href aria-label=format!("Refund buyer: {what}")>"Refund buyer"</a>
            </p>
        }
    });
    view! { {told} {ask} }
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
