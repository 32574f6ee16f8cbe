//! `/tickets/:id/refund`: a seller confirms a refund.

use super::{api, refund_status_for_seller};
use crate::{
    events::event_strip,
    ui::{Form, hidden, page_for, post_to, problem_at_top},
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_params_map;
use model::{
    error::AppError,
    events::Events,
    ids::TicketId,
    money::Money,
    refunds::{RefundStatus, Refunds, TicketRefund},
    selling::Selling,
    tickets::{Ticket, TicketStatus, Tickets},
};

/// Shows ticket, amount and consequences; only for the ticket's seller.
#[component]
pub fn RefundPage() -> impl IntoView {
    let id = use_params_map().with_untracked(|params| params.get("id").unwrap_or_default());
    page_for(|viewer| async move {
        let id: TicketId = id.parse().map_err(|_| AppError::NotFound)?;
        let (tickets, events) = (
            context::port::<dyn Tickets>()?,
            context::port::<dyn Events>()?,
        );
        let refunds = context::port::<dyn Refunds>()?;
        let ticket = tickets.get(id).await?;
        if ticket.seller_id != viewer.user.id {
            return Err(AppError::NotFound);
        }
        let event = events.get(ticket.event_id).await?;
        let selling = context::port::<dyn Selling>()?;
        let orders = selling
            .find_orders(&viewer, std::slice::from_ref(&ticket))
            .await?;
        let what = match orders.get(&id) {
            Some(order) => format!("{} · order {}", ticket.label, order.code()),
            None => ticket.label.clone(),
        };
        let newest = refunds.list_sold(&viewer).await?;
        let newest = newest.into_iter().find(|refund| refund.ticket_id == id);
        let form = Form::new("refund", context::take_flash().as_ref());
        let content = match (ticket.status, newest) {
            (TicketStatus::Sold, Some(refund)) if refund.status == RefundStatus::Pending => {
                not_refundable(&form, Some(&refund))
            }
            (TicketStatus::Sold, refund) => confirm(&form, &ticket, refund.as_ref()),
            (_, refund) => {
                let done = refund.filter(|refund| refund.status == RefundStatus::Succeeded);
                not_refundable(&form, done.as_ref())
            }
        };
        Ok(view! {
            <Title text=format!("Refund: {}", event.title)/>
            <section class="narrow">
                <h1 class="display">"Refund the buyer"</h1>
                {event_strip(&event, Some(&what))}
                {content}
            </section>
        }
        .into_any())
    })
}

/// The consequences of a refund and the button that begins it.
fn confirm(form: &Form, ticket: &Ticket, before: Option<&TicketRefund>) -> AnyView {
    let price = ticket.price();
    // The form shows a refusal of this request itself.
    let failed = before.filter(|_| !form.was_refused());
    view! {
        {post_to::<api::Create>("panel stack", view! {
            {problem_at_top(form)}
            {failed.map(|refund| refund_status_for_seller(refund.status, refund.amount()))}
            {hidden("ticket_id", ticket.id.to_string())}
            <h2 class="title">{format!("{price} goes back to the buyer")}</h2>
            {consequences(price)}
            <p>"Once it is under way, it cannot be stopped."</p>
            <div class="row">
                <button class="button" type="submit">{format!("Refund {price}")}</button>
                <a class="button button-quiet" href="/selling">"Back, without a refund"</a>
            </div>
        })}
    }
    .into_any()
}

fn consequences(price: Money) -> impl IntoView {
    view! {
        <ul class="bullets">
            <li>"It goes to the card that paid. Banks take 5–10 days to show it."</li>
            <li>"The buyer's ticket ends as soon as the refund has gone through."</li>
            <li>"The listing comes back to you, off sale."</li>
            <li>{format!("You are owed {price} less.")}</li>
        </ul>
    }
}

/// Explains why the ticket cannot be refunded, unless the form already shows it.
fn not_refundable(form: &Form, refund: Option<&TicketRefund>) -> AnyView {
    let message = refund.map_or_else(
        || view! { <p>"This ticket is not sold, so there is nothing to refund."</p> }.into_any(),
        |refund| refund_status_for_seller(refund.status, refund.amount()).into_any(),
    );
    let message = (refund.is_some() || !form.was_refused()).then_some(message);
    view! {
        <div class="panel stack">
            {problem_at_top(form)}
            {message}
            <p><a class="button button-quiet" href="/selling">"Back to what you sell"</a></p>
        </div>
    }
    .into_any()
}
