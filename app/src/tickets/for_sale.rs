//! What an event page offers: groups of tickets that are alike, and single seats. Each is a form
//! that reserves; the price in it is all that the buyer pays.

use super::{Offer, Offers, Ticket};
use crate::{
    accounts::Viewer,
    context::{self, Flash},
    events::Event,
    ids::UserId,
    money::Money,
    orders::{
        TICKETS_PER_ORDER_MAX,
        api::{Reserve, ReserveSeats},
    },
    ui::{Form, Icon, hidden, icon, post_to, problem_at_top},
};
use leptos::prelude::*;

/// All that is for sale, or why nothing is.
pub fn for_sale(
    event: &Event,
    offers: Offers,
    viewer: Option<&Viewer>,
    flash: Option<&Flash>,
) -> AnyView {
    let form = Form::new("reserve", flash);
    let sell = format!("/sell?event={}", event.id);
    let nothing = offers.groups.iter().all(|group| group.available == 0) && offers.seats.is_empty();
    let summary = summary(&offers);
    let groups = (1..).zip(offers.groups);
    let groups = groups
        .map(|(number, group)| offer(event, number, &group, viewer))
        .collect_view();
    let seats = (!offers.seats.is_empty()).then(|| seat_form(event, offers.seats, viewer));
    view! {
        <section class="sale" aria-labelledby="tickets">
            <div class="sale-head">
                <h2 class="section-title" id="tickets">"Tickets"</h2>
                <p class="quiet">{summary}</p>
            </div>
            {problem_at_top(&form)}
            <ul class="offers">{groups}</ul>
            {seats}
            {nothing.then(|| view! {
                <p class="notice">
                    "Nothing is for sale right now. Tickets come back when somebody does not finish "
                    "paying, so look again in a few minutes."
                </p>
            })}
            <p class="quiet">
                "You have tickets to spare? " <a href=sell>"Sell them here"</a>
            </p>
        </section>
    }
    .into_any()
}

fn summary(offers: &Offers) -> String {
    let mut words = vec![format!("{} available", offers.available)];
    if offers.reserved > 0 {
        words.push(format!("{} being bought right now", offers.reserved));
    }
    if offers.sold > 0 {
        words.push(format!("{} sold", offers.sold));
    }
    words.join(" · ")
}

fn face_value(minor: Option<i64>, event: &Event, price_minor: i64) -> Option<AnyView> {
    let face = minor?;
    let text = match face.cmp(&price_minor) {
        std::cmp::Ordering::Equal => "at face value".to_owned(),
        _ => format!("face value {}", Money::new(face, event.currency)),
    };
    Some(view! { <span class="quiet">{text}</span> }.into_any())
}

/// Whose tickets these are, as their buyer or their seller reads it.
fn whose(viewer: Option<&Viewer>, seller: UserId, name: &str) -> (bool, String) {
    if viewer.is_some_and(|viewer| viewer.user.id == seller) {
        (true, "your own".to_owned())
    } else {
        (false, format!("from {name}"))
    }
}

fn offer(
    event: &Event,
    number: u32,
    offer: &Offer,
    viewer: Option<&Viewer>,
) -> impl IntoView + use<> {
    let price = Money::new(offer.price_minor, event.currency);
    let section = offer
        .section
        .clone()
        .unwrap_or_else(|| "General admission".to_owned());
    let (own, whose) = whose(viewer, offer.seller_id, &offer.seller_name);
    let left = match offer.available {
        0 => "all being bought right now".to_owned(),
        1 => "1 left".to_owned(),
        left => format!("{left} left"),
    };
    // One's own can be seen here like any other, but not bought.
    let form = (offer.available > 0 && !own).then(|| offer_form(event, number, offer, &section));
    view! {
        <li class="offer">
            <div class="offer-what">
                <p class="offer-section">{section}</p>
                <p class="quiet">{whose} " · " {left}</p>
            </div>
            <div class="offer-price">
                <strong class="price">{price.to_string()}</strong>
                {face_value(offer.face_value_minor, event, offer.price_minor)}
            </div>
            {form}
        </li>
    }
}

/// How many of an offer, and the button that reserves them.
fn offer_form(event: &Event, number: u32, offer: &Offer, section: &str) -> impl IntoView + use<> {
    let price = Money::new(offer.price_minor, event.currency);
    let most = i64::try_from(TICKETS_PER_ORDER_MAX)
        .unwrap_or(8)
        .min(offer.available);
    let choices = (1..=most)
        .map(|count| {
            let total = Money::new(offer.price_minor * count, event.currency);
            view! { <option value=count>{format!("{count} for {total}")}</option> }
        })
        .collect_view();
    let quantity_id = format!("quantity-{number}");
    post_to::<Reserve>(
        "offer-form",
        view! {
            {hidden("event_id", event.id.to_string())}
            {hidden("section", offer.section.clone().unwrap_or_default())}
            {hidden("price_minor", offer.price_minor.to_string())}
            {hidden("seller_id", offer.seller_id.to_string())}
            {offer.face_value_minor.map(|face| hidden("face_value_minor", face.to_string()))}
            {hidden("attempt", context::new_attempt())}
            <label class="sr-only" for=quantity_id.clone()>
                {format!("How many, {section}")}
            </label>
            <select class="input" name="quantity" id=quantity_id>
                {choices}
            </select>
            <button
                class="button"
                type="submit"
                aria-label=format!("Reserve {section} at {price}")
            >
                "Reserve"
            </button>
        },
    )
}

/// Single seats: choose up to eight, reserve them together.
fn seat_form(
    event: &Event,
    seats: Vec<(Ticket, String)>,
    viewer: Option<&Viewer>,
) -> impl IntoView + use<> {
    let rows = seats
        .into_iter()
        .map(|(ticket, seller)| {
            let (own, whose) = whose(viewer, ticket.seller_id, &seller);
            let price = ticket.price().to_string();
            let face = face_value(ticket.face_value_minor, event, ticket.price_minor);
            view! {
                <li>
                    <label class="seat">
                        <input
                            type="checkbox"
                            name="ticket_ids[]"
                            value=ticket.id.to_string()
                            disabled=own
                        />
                        <span class="seat-what">
                            <span class="offer-section">{ticket.label.clone()}</span>
                            <span class="quiet">{whose}</span>
                        </span>
                        <span class="offer-price"><strong class="price">{price}</strong> {face}</span>
                    </label>
                </li>
            }
        })
        .collect_view();
    view! {
        {post_to::<ReserveSeats>("seats panel", view! {
            <fieldset>
                <legend class="title">{icon(Icon::Ticket)} "Single seats"</legend>
                <p class="hint">"Tick up to eight, then reserve them together."</p>
                <ul class="rows">{rows}</ul>
            </fieldset>
            {hidden("attempt", context::new_attempt())}
            <button class="button" type="submit">"Reserve these seats"</button>
        })}
    }
}
