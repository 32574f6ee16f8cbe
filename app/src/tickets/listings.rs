//! A listing as its seller sees it, with forms to change or withdraw it and a link to refund its
//! buyer.

use super::{api, form_name};
use crate::{
    refunds::refund_status_for_seller,
    ui::{Form, Input, field, hidden, post_to, problem_at_top},
};
use context::Flash;
use islands::countdown_text;
use leptos::prelude::*;
use model::{
    ids::OrderId,
    refunds::{RefundStatus, TicketRefund},
    tickets::{Ticket, TicketStatus},
};

/// One listing: status, price, the order in which it was sold, and actions.
pub fn listing(
    ticket: &Ticket,
    event_title: &str,
    order: Option<&OrderId>,
    refund: Option<&TicketRefund>,
    flash: Option<&Flash>,
) -> impl IntoView + use<> {
    let what = format!("{event_title}, {}", ticket.label);
    let refunded = refund.is_some_and(|refund| refund.status == RefundStatus::Succeeded);
    let (class, status) = match ticket.status {
        TicketStatus::Available => ("badge badge-good", "On sale".to_owned()),
        TicketStatus::Reserved => {
            let left = countdown_text(ticket.reserved_seconds_left.unwrap_or_default());
            ("badge badge-open", format!("Held for {left}"))
        }
        TicketStatus::Sold => ("badge", "Sold".to_owned()),
        TicketStatus::Withdrawn if refunded => ("badge", "Refunded".to_owned()),
        TicketStatus::Withdrawn => ("badge", "Withdrawn".to_owned()),
    };
    let form = Form::new(form_name(&ticket.id.to_string()), flash);
    let change = (ticket.status == TicketStatus::Available || form.was_refused())
        .then(|| change_form(ticket, &what, &form));
    let refund = (ticket.status == TicketStatus::Sold).then(|| refund_link(ticket, &what, refund));
    let price = ticket.price().to_string();
    view! {
        <li class="listing">
            <div class="listing-head">
                <strong dir="auto">{ticket.label.clone()}</strong>
                <span class="order-row-end">
                    <span class=class>{status}</span>
                    <strong>{price}</strong>
                </span>
            </div>
            {order.map(|order| view! { <p class="quiet">{format!("Order {}", order.code())}</p> })}
            {change}
            {refund}
        </li>
    }
}

/// A link to refund a sold ticket, unless a refund is pending.
fn refund_link(
    ticket: &Ticket,
    what: &str,
    refund: Option<&TicketRefund>,
) -> impl IntoView + use<> {
    // A ticket that is sold after a successful refund has been sold again.
    let refund = refund.filter(|refund| refund.status != RefundStatus::Succeeded);
    let status = refund.map(|refund| refund_status_for_seller(refund.status, refund.amount()));
    let pending = refund.is_some_and(|refund| refund.status == RefundStatus::Pending);
    let href = format!("/tickets/{}/refund", ticket.id);
    let link = (!pending).then(|| {
        view! {
            <p class="listing-more">
                <a href=href aria-label=format!("Refund buyer: {what}")>"Refund buyer"</a>
            </p>
        }
    });
    view! { {status} {link} }
}

/// Forms to change or withdraw a listing.
fn change_form(ticket: &Ticket, what: &str, form: &Form) -> impl IntoView + use<> {
    let id = ticket.id.to_string();
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
