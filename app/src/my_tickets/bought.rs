//! What one has bought, as `/tickets` shows it: what is to come first, soonest on top, what is past
//! folded below, and for a while what was refunded.

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

/// How long after it a refund is still shown beside the tickets, in days. The order always does.
const REFUND_SHOWN_DAYS: i64 = 30;

/// All that the viewer has bought.
pub async fn bought(viewer: &Viewer) -> AppResult<AnyView> {
    let recently = context::now() - SignedDuration::from_hours(24 * REFUND_SHOWN_DAYS);
    let (tickets, passes) = (
        context::port::<dyn Tickets>()?,
        context::port::<dyn Passes>()?,
    );
    let refunds = context::port::<dyn Refunds>()?;
    let bought = tickets.list_bought(viewer).await?;
    let paid_back = tickets.list_refunded(viewer).await?;
    let of_bought = refunds.list_bought(viewer).await?;
    let passes = passes.list_for_buyer(viewer).await?;
    Ok(view! {
        {to_use(bought, &passes, &of_bought, &viewer.user.name)}
        {refunded(paid_back, &of_bought, recently)}
    }
    .into_any())
}

/// A ticket whose event is over has no pass here any more.
fn to_use(
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
            // Whose ticket it is again has bought it once more.
            let refund = refund.filter(|status| *status != RefundStatus::Succeeded);
            let pass = passes.iter().find(|pass| pass.ticket == owned.ticket.id);
            // Soonest first: the code of the next ticket is shown at once.
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
