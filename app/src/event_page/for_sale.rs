//! The tickets for sale on an event's page: groups of equal tickets, and single seats, each with a form to
//! reserve. The prices shown are the total prices.

use super::offer_filter::OfferFilterForm;
use crate::{
    orders::api::{Reserve, ReserveSeats},
    ui::{Form, Icon, hidden, icon, post_to, problem_at_top},
};
use context::{self, Flash};
use islands::{LiveSale, in_minutes};
use leptos::prelude::*;
use model::{
    accounts::Viewer,
    error::AppResult,
    events::Event,
    ids::UserId,
    money::Money,
    orders::TICKETS_PER_ORDER_MAX,
    tickets::{NO_SECTION, Offer, Offers, Ticket, TicketStatus},
};

/// The tickets for sale, or the reason why there are none. `held` shows the viewer's open orders;
/// `waiting_list` is shown only while nothing is for sale.
pub fn for_sale(
    event: &Event,
    offers: Offers,
    filter_form: &OfferFilterForm,
    viewer: Option<&Viewer>,
    flash: Option<&Flash>,
    held: Option<AnyView>,
    waiting_list: AnyView,
) -> AppResult<AnyView> {
    let form = Form::new("reserve", flash);
    let sell = format!("/sell?event={}", event.id);
    let minutes = in_minutes(context::site()?.hold_seconds);
    let how_long = (offers.available > 0).then(|| {
        view! { <p class="quiet">"Held for you for " {minutes} " while you pay."</p> }
    });
    let filter = filter_form.form(event, &offers);
    Ok(view! {
        <section class="sale" aria-labelledby="tickets">
            {problem_at_top(&form)}
            <div class="sale-head">
                <h2 class="section-title" id="tickets" tabindex="-1">"Tickets"</h2>
                {how_long}
            </div>
            {held}
            {filter}
            <LiveSale event_id=event.id.to_string()/>
            {live_part(event, offers, filter_form, viewer)}
            {waiting_list}
            <p class="quiet">
                "Do you have tickets to sell? " <a href=sell>"Sell them here"</a>
            </p>
        </section>
    }
    .into_any())
}

/// The part that [`LiveSale`] updates. Must not contain an island, or ids that occur elsewhere.
fn live_part(
    event: &Event,
    offers: Offers,
    filter_form: &OfferFilterForm,
    viewer: Option<&Viewer>,
) -> AnyView {
    let summary = summary(&offers);
    let nothing = nothing(&offers, !filter_form.filter(event.currency).is_everything());
    let sold_out =
        (offers.available == 0 && offers.sold > 0 && offers.reserved == 0).then_some("Sold out.");
    let none_left = (offers.available == 0).then_some("");
    let hold_ends_in = offers.reserved_seconds_left;
    let together = filter_form.filter(event.currency).together.unwrap_or(1);
    let groups = offers
        .groups
        .iter()
        .map(|group| offer(event, group, together, viewer))
        .collect_view();
    let more = offers.more_seats.then(|| {
        view! { <p class="quiet">"These are the cheapest seats. Filter them to see others."</p> }
    });
    let seats = (!offers.seats.is_empty()).then(|| seat_form(event, offers.seats, viewer));
    view! {
        <div class="sale" id="for-sale" data-hold-ends-in=hold_ends_in data-none-left=none_left data-say=sold_out>
            <p class="sale-count">{summary}</p>
            <ul class="offers" id="offers">{groups}</ul>
            {seats}
            {more}
            {nothing}
        </div>
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

/// The reason why nothing can be chosen; `None` if something can.
fn nothing(offers: &Offers, filtered: bool) -> Option<AnyView> {
    let shown = !offers.groups.is_empty() || !offers.seats.is_empty();
    let text = match offers {
        Offers { available: 1.., .. } if shown => return None,
        Offers { available: 1.., .. } if filtered => {
            "Nothing that is for sale matches. Try another section, a higher price or fewer together."
        }
        Offers { reserved: 1.., .. } => {
            "Nothing is for sale right now. Tickets that are not paid for in time go back on sale and \
             are shown here."
        }
        Offers { sold: 1.., .. } => "Sold out. If a ticket is offered again, it is shown here.",
        _ => {
            "Nothing is for sale right now. New tickets are shown here as soon as they are offered."
        }
    };
    Some(view! { <p class="notice" id="nothing-for-sale">{text}</p> }.into_any())
}

fn face_value(minor: Option<i64>, event: &Event, price_minor: i64) -> Option<AnyView> {
    let face = minor?;
    let text = match face.cmp(&price_minor) {
        std::cmp::Ordering::Equal => "at face value".to_owned(),
        _ => format!("face value {}", Money::new(face, event.currency)),
    };
    Some(view! { <span class="quiet">{text}</span> }.into_any())
}

/// Whether the viewer is the seller, and the text that names the seller.
fn seller_text(viewer: Option<&Viewer>, seller: UserId, name: &str) -> (bool, String) {
    if viewer.is_some_and(|viewer| viewer.user.id == seller) {
        (true, "your own".to_owned())
    } else {
        (false, format!("from {name}"))
    }
}

fn offer(
    event: &Event,
    offer: &Offer,
    together: i64,
    viewer: Option<&Viewer>,
) -> impl IntoView + use<> {
    let price = Money::new(offer.price_minor, event.currency);
    let section = offer
        .section
        .clone()
        .unwrap_or_else(|| NO_SECTION.to_owned());
    let key = key(offer, &section);
    let (own, whose) = seller_text(viewer, offer.seller_id, &offer.seller_name);
    let left = match offer.available {
        0 => "all being bought right now".to_owned(),
        1 => "1 left".to_owned(),
        left => format!("{left} left"),
    };
    // A seller sees their own tickets, but cannot buy them.
    let form =
        (offer.available > 0 && !own).then(|| offer_form(event, offer, &key, &section, together));
    view! {
        <li class="offer" id=format!("offer-{key}")>
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

/// Identifies the offer within its event; the same in every version of the page.
fn key(offer: &Offer, section: &str) -> String {
    let face = offer.face_value_minor.unwrap_or_default();
    let section = context::percent_encode(section);
    format!("{}-{face}-{}-{section}", offer.price_minor, offer.seller_id)
}

/// The number of tickets, and the button that reserves them.
fn offer_form(event: &Event, offer: &Offer, key: &str, section: &str, together: i64) -> AnyView {
    let price = Money::new(offer.price_minor, event.currency);
    let most = i64::try_from(TICKETS_PER_ORDER_MAX)
        .unwrap_or(8)
        .min(offer.available);
    let choices = (1..=most)
        .map(|count| {
            let total = Money::new(offer.price_minor * count, event.currency);
            let chosen = together > 1 && count == together;
            view! { <option value=count selected=chosen>{format!("{count} for {total}")}</option> }
        })
        .collect_view();
    let quantity_id = format!("quantity-{key}");
    post_to::<Reserve>(
        "offer-form",
        view! {
            {hidden("event_id", event.id.to_string())}
            {hidden("section", offer.section.clone().unwrap_or_default())}
            {hidden("price_minor", offer.price_minor.to_string())}
            {hidden("seller_id", offer.seller_id.to_string())}
            {offer.face_value_minor.map(|face| hidden("face_value_minor", face.to_string()))}
            {attempt()}
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
    .into_any()
}

/// Identifies this attempt to reserve, so that a form that is sent twice has one effect. Kept when the page is
/// updated.
fn attempt() -> impl IntoView {
    view! { <input type="hidden" name="attempt" value=context::new_attempt() data-kept=""/> }
}

/// Single seats: choose up to eight, reserve them together.
fn seat_form(event: &Event, seats: Vec<(Ticket, String)>, viewer: Option<&Viewer>) -> AnyView {
    let rows = seats
        .into_iter()
        .map(|(ticket, seller)| {
            let (own, whose) = seller_text(viewer, ticket.seller_id, &seller);
            let held = ticket.status == TicketStatus::Reserved;
            let whose = if held { format!("{whose} · being bought right now") } else { whose };
            let price = ticket.price().to_string();
            let face = face_value(ticket.face_value_minor, event, ticket.price_minor);
            view! {
                <li id=format!("seat-{}", ticket.id)>
                    <label class="seat" class:seat-held=held>
                        <input
                            type="checkbox"
                            name="ticket_ids[]"
                            value=ticket.id.to_string()
                            data-label=ticket.label.clone()
                            disabled=own || held
                        />
                        <span class="seat-what">
                            <span class="offer-section" dir="auto">{ticket.label.clone()}</span>
                            <span class="quiet">{whose}</span>
                        </span>
                        <span class="offer-price"><strong class="price">{price}</strong> {face}</span>
                    </label>
                </li>
            }
        })
        .collect_view();
    view! {
        <div id="seats">{post_to::<ReserveSeats>("seats panel", view! {
            <fieldset>
                <legend class="title">{icon(Icon::Ticket)} "Single seats"</legend>
                <p class="hint">"Tick up to eight, then reserve them together."</p>
                <ul class="rows">{rows}</ul>
            </fieldset>
            {attempt()}
            <button class="button" type="submit">"Reserve these seats"</button>
        })}</div>
    }
    .into_any()
}
