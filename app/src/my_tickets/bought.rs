//! The viewer's bought tickets on `/tickets`: upcoming ones, soonest first; past ones, collapsed; and
//! recently refunded ones.

use super::pages::newest;
use crate::{
    passes::{pass_to_unfold, stub},
    refunds::refund_status_for_buyer,
};
use jiff::{SignedDuration, Timestamp};
use leptos::prelude::*;
use model::{
    accounts::Viewer,
    error::AppResult,
    passes::{Pass, Passes},
    refunds::{RefundStatus, Refunds, TicketRefund},
    tickets::{OwnedTicket, Tickets},
};

/// Days for which a refund is shown here. The order's page shows it always.
const REFUND_SHOWN_DAYS: i64 = 30;

pub async fn bought(viewer: &Viewer) -> AppResult<AnyView> {
    let shown_since = context::now() - SignedDuration::from_hours(24 * REFUND_SHOWN_DAYS);
    let (tickets, passes) = (
        context::port::<dyn Tickets>()?,
        context::port::<dyn Passes>()?,
    );
    let refunds = context::port::<dyn Refunds>()?;
    let bought = tickets.list_bought(viewer).await?;
    let lost = tickets.list_refunded(viewer).await?;
    let of_bought = refunds.list_bought(viewer).await?;
    let passes = passes.list_for_buyer(viewer).await?;
    Ok(view! {
        {owned_tickets(bought, &passes, &of_bought, &viewer.user.name)}
        {refunded(lost, &of_bought, shown_since)}
    }
    .into_any())
}

/// The tickets that the viewer owns. Those of past events have no pass.
fn owned_tickets(
    bought: Vec<OwnedTicket>,
    passes: &[Pass],
    refunds: &[TicketRefund],
    holder: &str,
) -> impl IntoView + use<> {
    let mut is_next = true;
    let stubs: Vec<(AnyView, bool)> = bought
        .into_iter()
        .map(|owned| {
            let refund = newest(refunds, owned.ticket.id).map(|refund| refund.status);
            // An owner with a successful refund of the ticket has bought it again.
            let refund = refund.filter(|status| *status != RefundStatus::Succeeded);
            let pass = passes.iter().find(|pass| pass.ticket == owned.ticket.id);
            // Only the pass of the next ticket is expanded at first.
            let open = is_next && pass.is_some();
            is_next &= pass.is_none();
            let shown = pass.map(|pass| pass_to_unfold(pass, open).into_any());
            (
                stub(owned, holder, refund, shown).into_any(),
                pass.is_some(),
            )
        })
        .collect();
    let (coming, past): (Vec<_>, Vec<_>) = stubs.into_iter().partition(|(_, coming)| *coming);
    let shown = |stubs: Vec<(AnyView, bool)>| -> Vec<AnyView> {
        stubs.into_iter().map(|(stub, _)| stub).collect()
    };
    let (nothing, had) = (coming.is_empty(), past.len());
    view! {
        <section aria-labelledby="bought">
            <h2 class="section-title" id="bought">"Yours to use"</h2>
            <ul class="stubs" class:hidden=nothing>{shown(coming)}</ul>
            {nothing.then(|| view! {
                <div class="empty">
                    <p>{if had == 0 { "You have no tickets yet." } else { "You have no tickets for upcoming events." }}</p>
                    <p><a class="button" href="/">"See what is on"</a></p>
                </div>
            })}
            {(had > 0).then(|| view! {
                <details class="past">
                    <summary>{format!("Past ({had})")}</summary>
                    <ul class="stubs">{shown(past)}</ul>
                </details>
            })}
        </section>
    }
}

/// Tickets that were refunded since then and that the viewer no longer owns; `None` if there are none.
fn refunded(
    lost: Vec<OwnedTicket>,
    refunds: &[TicketRefund],
    shown_since: Timestamp,
) -> Option<AnyView> {
    let rows: Vec<_> = lost
        .into_iter()
        .filter_map(|owned| {
            let refund = newest(refunds, owned.ticket.id)?;
            (refund.created_at >= shown_since).then(|| refunded_row(owned, refund))
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
                        <a dir="auto" href=format!("/orders/{}", refund.order_id)>{owned.event_title}</a>
                    </strong>
                    <br/>
                    <span class="quiet"><bdi>{owned.ticket.label}</bdi> " · " {owned.event_when}</span>
                </span>
            </div>
            {refund_status_for_buyer(refund.status, refund.amount())}
        </li>
    }
}
