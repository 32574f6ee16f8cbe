//! A listing as its seller sees it, with the forms that change it, take it back, or lead to its
//! buyer's refund.

use super::{api, form_of};
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

/// One listing: where it stands, what it costs, in which order it was sold, and what can be done
/// about it.
pub fn listing(
    ticket: &Ticket,
    event_title: &str,
    order: Option<&OrderId>,
    refund: Option<&TicketRefund>,
    flash: Option<&Flash>,
) -> impl IntoView + use<> {
    let what = format!("{event_title}, {}", ticket.label);
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
        .then(|| change_form(ticket, &what, &form));
    let pay_back = (ticket.status == TicketStatus::Sold).then(|| pay_back(ticket, &what, refund));
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
            {pay_back}
        </li>
    }
}

/// The way to refund a sold ticket, unless its refund is under way.
fn pay_back(ticket: &Ticket, what: &str, refund: Option<&TicketRefund>) -> impl IntoView + use<> {
    // A sold ticket that was paid back before has been sold once more.
    let refund = refund.filter(|refund| refund.status != RefundStatus::Succeeded);
    let told = refund.map(|refund| refund_status_for_seller(refund.status, refund.amount()));
    let under_way = refund.is_some_and(|refund| refund.status == RefundStatus::Pending);
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
