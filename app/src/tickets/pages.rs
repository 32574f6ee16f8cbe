//! `/tickets`: what one has bought, and in short what one sells.

use super::{OwnedTicket, Tickets, stub};
use crate::{
    context,
    ids::TicketId,
    refunds::{Owed, RefundStatus, Refunds, TicketRefund, owed_line, told_to_buyer},
    selling::{Counts, GroupQuery, SaleGroups, Selling, summary},
    ui::{flash_message, page_for},
};
use jiff::{SignedDuration, Timestamp};
use leptos::prelude::*;
use leptos_meta::Title;

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
        let selling = context::port::<dyn Selling>()?;
        let bought = tickets.bought_by(&viewer).await?;
        let paid_back = tickets.paid_back_to(&viewer).await?;
        let of_bought = refunds.of_bought(&viewer).await?;
        let totals = selling.totals(&viewer).await?;
        let groups = selling.groups(&viewer, GroupQuery::default()).await?;
        let owed = refunds.owed(&viewer).await?;
        Ok(view! {
            <Title text="Tickets"/>
            <h1 class="display">"Tickets"</h1>
            {flash_message(flash.as_ref())}
            {to_use(bought, &of_bought, &viewer.user.name)}
            {refunded(paid_back, &of_bought, recently)}
            {for_sale(totals, groups, &owed)}
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

fn for_sale(totals: Counts, groups: SaleGroups, owed: &[Owed]) -> impl IntoView + use<> {
    let all = (totals.all() > 0).then(|| {
        view! {
            <a class="button button-quiet button-small" href="/selling">"All you sell"</a>
        }
    });
    view! {
        <section aria-labelledby="for-sale">
            <div class="sale-head">
                <h2 class="section-title" id="for-sale">"Yours for sale"</h2>
                <p class="row">
                    {all}
                    <a class="button button-quiet button-small" href="/sell">"Sell more"</a>
                </p>
            </div>
            {owed_line(owed)}
            {summary(totals, groups.groups)}
        </section>
    }
}
