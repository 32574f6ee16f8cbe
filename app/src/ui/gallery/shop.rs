//! The gallery's events, offers, orders and tickets, all of them invented.

use super::part;
use crate::ui::{Icon, icon, poster, steps};
use leptos::prelude::*;

/// Day, month, title, time, place, price, and a note on how many are left.
type Card = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const CARDS: &[Card] = &[
    (
        "12",
        "Mar",
        "The Lamplighter",
        "Thu 12 March, 19:30",
        "Theatre Royal, Leeds",
        "£25.00",
        "",
    ),
    (
        "14",
        "Mar",
        "Brass and Bramble",
        "Sat 14 March, 20:00",
        "Corn Exchange, York",
        "£12.50",
        "2 left",
    ),
    (
        "3",
        "Apr",
        "An evening with a title that is longer than its card is wide",
        "Fri 3 April, 19:00",
        "The Old Fire Station, Newcastle upon Tyne",
        "£9.00",
        "1 left",
    ),
    (
        "21",
        "Jun",
        "Midsummer",
        "Sun 21 June, 15:00",
        "Castle Field, Durham",
        "",
        "",
    ),
];

/// Events in a list, with generated posters.
pub fn cards() -> AnyView {
    let cards = CARDS
        .iter()
        .map(|(day, month, title, when, place, price, few)| {
            let few = (!few.is_empty()).then(|| view! { <span class="few">{*few}</span> });
            let from = if price.is_empty() {
                view! { <p class="from quiet">"No tickets at the moment"</p> }.into_any()
            } else {
                view! { <p class="from">"from " <strong>{*price}</strong> {few}</p> }.into_any()
            };
            view! {
                <li class="card">
                    <a class="card-link" href="#cards">
                        <div class="card-art">
                            {poster(title)}
                            <span class="date-badge" aria-hidden="true"><b>{*day}</b> {*month}</span>
                        </div>
                        <div class="card-body">
                            <h3 class="card-title">{*title}</h3>
                            <p class="quiet">{*when}</p>
                            <p class="quiet">{*place}</p>
                            {from}
                        </div>
                    </a>
                </li>
            }
        })
        .collect_view();
    part(
        "cards",
        "Cards",
        view! { <ul class="cards">{cards}</ul> }.into_any(),
    )
}

/// Offers of an event.
pub fn offers() -> AnyView {
    let offer = |id: &'static str, section: &'static str, whose: &'static str, face| {
        view! {
            <li class="offer">
                <div class="offer-what">
                    <p class="offer-section">{section}</p>
                    <p class="quiet">{whose}</p>
                </div>
                <div class="offer-price">
                    <strong class="price">"£42.00"</strong>
                    <span class="quiet">{face}</span>
                </div>
                <div class="offer-form">
                    <label class="sr-only" for=id>{format!("How many, {section}")}</label>
                    <select class="input" id=id>
                        <option>"1 for £42.00"</option>
                        <option>"2 for £84.00"</option>
                    </select>
                    <button class="button" type="button">"Reserve"</button>
                </div>
            </li>
        }
        .into_any()
    };
    let seat = |label: &'static str, taken: bool| {
        view! {
            <li>
                <label class="seat">
                    <input type="checkbox" checked=!taken disabled=taken/>
                    <span class="seat-what">
                        <span class="offer-section">{label}</span>
                        <span class="quiet">{if taken { "your own" } else { "from Otto" }}</span>
                    </span>
                    <span class="offer-price"><strong class="price">"£18.00"</strong></span>
                </label>
            </li>
        }
        .into_any()
    };
    let sale = view! {
        <ul class="offers">
            {offer("offer-stalls", "Stalls", "from Sally · 4 left", "face value £45.00")}
            {offer("offer-circle", "Upper circle, restricted view", "from Otto · 1 left", "at face value")}
        </ul>
        <div class="seats panel">
            <fieldset>
                <legend class="title">{icon(Icon::Ticket)} "Single seats"</legend>
                <p class="hint">"Tick up to eight, then reserve them together."</p>
                <ul class="rows">{seat("Balcony, row C, seat 7", false)} {seat("Balcony, row C, seat 8", true)}</ul>
            </fieldset>
        </div>
    };
    part("offers", "Offers", sale.into_any())
}

/// An open order: steps, countdown, summary, timeline.
pub fn paying() -> AnyView {
    let countdown = |class: &'static str, left: &'static str, seconds: &'static str| {
        view! {
            <div class=class>
                <p class="countdown-text">
                    <span>"Your tickets are held for "</span>
                    <strong class="countdown-clock">{left}</strong>
                </p>
                <progress class="countdown-bar" max="600" value=seconds aria-hidden="true"></progress>
            </div>
        }
        .into_any()
    };
    let order = view! {
        {steps(&["Choose", "Your details", "Pay", "Tickets"], Some(2))}
        <div class="gallery-pair">
            <div class="stack">
                {countdown("countdown", "7:12", "432")}
                {countdown("countdown urgent", "0:48", "48")}
                <div class="panel order-summary">
                    <div class="order-art">{poster("The Lamplighter")}</div>
                    <h3 class="title">"The Lamplighter"</h3>
                    <p class="fact">{icon(Icon::Clock)} "Thursday 12 March 2026 at 19:30"</p>
                    <p class="fact">{icon(Icon::Place)} "Theatre Royal, Leeds"</p>
                    <div class="lines">
                        <p class="line"><span>"Stalls, row B, seat 4"</span> <span>"£42.00"</span></p>
                        <p class="line"><span>"Stalls, row B, seat 5"</span> <span>"£42.00"</span></p>
                    </div>
                    <p class="line total"><strong>"Total"</strong> <strong>"£84.00"</strong></p>
                </div>
            </div>
            <div class="panel stack">
                <h3 class="title">"What happened"</h3>
                <ol class="timeline">
                    <li class="moment"><p>"Two tickets were reserved."</p> <p class="quiet">"12 March, 18:02"</p></li>
                    <li class="moment moment-bad"><p>"The card was refused."</p> <p class="quiet">"12 March, 18:04"</p></li>
                    <li class="moment moment-good"><p>"£84.00 were paid."</p> <p class="quiet">"12 March, 18:05"</p></li>
                </ol>
            </div>
        </div>
    };
    part("paying", "Paying", order.into_any())
}

/// Valid and refunded tickets.
pub fn tickets() -> AnyView {
    let stub = |class: &'static str, seat: &'static str, holder: &'static str| {
        view! {
            <li class=class>
                <div class="stub-main">
                    <p class="stub-event"><a href="#stubs">"The Lamplighter"</a></p>
                    <p class="quiet">"Thu 12 March 2026, 19:30"</p>
                    <p class="quiet">"Theatre Royal, Leeds"</p>
                </div>
                <div class="stub-end">
                    <p class="stub-seat">{seat}</p>
                    <p class="quiet">{holder}</p>
                    <p class="stub-number">"7F3K-92QX"</p>
                </div>
            </li>
        }
        .into_any()
    };
    let stubs = view! {
        <ul class="stubs">
            {stub("stub", "Stalls, row B, seat 4", "Bea Buyer")}
            {stub("stub stub-ended", "General admission", "Bea Buyer")}
        </ul>
    };
    part("stubs", "Tickets", stubs.into_any())
}

/// Rows of orders and listings.
pub fn rows() -> AnyView {
    let rows = view! {
        <ul class="panel rows">
            <li>
                <a class="order-row" href="#lists">
                    <span><strong>"The Lamplighter"</strong> <span class="quiet">" · 2 tickets"</span></span>
                    <span class="order-row-end">"£84.00" <span class="badge badge-open">"To pay"</span></span>
                </a>
            </li>
            <li class="listing">
                <div class="listing-head">
                    <p class="event-strip">
                        <span class="strip-art">{poster("Brass and Bramble")}</span>
                        <span><strong>"Brass and Bramble"</strong> <br/> <span class="quiet">"Stalls · £12.50"</span></span>
                    </p>
                    <span class="badge badge-good">"For sale"</span>
                </div>
                <details class="listing-edit">
                    <summary>"Change"</summary>
                    <p>"What is opened by a press."</p>
                </details>
            </li>
        </ul>
    };
    part("lists", "Rows of a list", rows.into_any())
}

/// An empty page.
pub fn nothing() -> AnyView {
    let empty = view! {
        <div class="empty">
            <h3 class="title">"No tickets yet"</h3>
            <p class="quiet">"What you buy is kept here."</p>
            <p><a class="button" href="#empty">"See what is on"</a></p>
        </div>
    };
    part("empty", "Nothing yet", empty.into_any())
}
