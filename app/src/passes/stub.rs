//! A bought ticket. A refunded one is marked, and has neither number nor code.

use crate::refunds::refund_status_for_buyer;
use leptos::prelude::*;
use model::{refunds::RefundStatus, tickets::OwnedTicket};

/// The ticket with its pass, and the state of its refund, if any.
pub fn stub(
    owned: OwnedTicket,
    holder: &str,
    refund: Option<RefundStatus>,
    pass: Option<AnyView>,
) -> impl IntoView + use<> {
    let ticket = owned.ticket;
    let ended = refund == Some(RefundStatus::Succeeded);
    // A pass shows the number below its code.
    let number = (!ended && pass.is_none()).then(|| {
        view! { <p class="stub-number">{ticket.id.code()}</p> }
    });
    let told = refund.map(|status| refund_status_for_buyer(status, ticket.price()));
    view! {
        <li class=if ended { "stub stub-ended" } else { "stub" }>
            <div class="stub-main">
                <p class="stub-event">
                    <a dir="auto" href=format!("/events/{}", ticket.event_id)>{owned.event_title}</a>
                </p>
                <p>{owned.event_when}</p>
                <p dir="auto">{owned.event_place}</p>
            </div>
            <div class="stub-end">
                <p class="stub-seat" dir="auto">{ticket.label}</p>
                <p class="quiet" dir="auto">{holder.to_owned()}</p>
                {number}
            </div>
            {pass.map(|pass| view! { <div class="stub-pass">{pass}</div> })}
            {told}
        </li>
    }
}
