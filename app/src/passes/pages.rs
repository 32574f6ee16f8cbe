//! `/orders/:id/tickets`: the printable tickets of an order, one a page; and the components that show a pass.

use crate::ui::{page_for, qr_code};
use islands::PrintButton;
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_params_map;
use model::{
    error::AppError,
    events::{Event, Events},
    ids::OrderId,
    orders::Orders,
    passes::{Pass, Passes},
};

/// Shown instead of the pass of a frozen ticket.
pub fn frozen_notice() -> AnyView {
    view! {
        <p class="notice notice-bad">
            "This ticket is frozen, because the card's holder has disputed the payment with their bank. It "
            "is not valid until the bank has decided. Contact us if you did not expect this."
        </p>
    }
    .into_any()
}

/// The QR code of a pass with the ticket's number.
pub fn pass_to_scan(pass: &Pass) -> impl IntoView + use<> {
    let code = pass.ticket.code();
    view! {
        <div class="scan">
            {qr_code(&pass.qr, format!("QR code of the ticket {code}"))}
            <p class="stub-number">{code}</p>
        </div>
    }
}

/// As [`pass_to_scan`] in a collapsible box, with links to PDF, calendar file and order.
pub fn pass_to_unfold(pass: &Pass, open: bool) -> impl IntoView + use<> {
    let order = format!("/orders/{}", pass.order);
    let code = pass.ticket.code();
    let of = move |what: &str| format!("{what} of the ticket {code}");
    view! {
        <details class=if open { "unfold unfold-next" } else { "unfold" } open=open>
            <summary aria-label=of("QR code")>"QR code"</summary>
            {pass_to_scan(pass)}
        </details>
        <p class="stub-links">
            <a href=format!("{order}/tickets.pdf") aria-label=of("PDF")>"PDF"</a>
            <a href=format!("{order}/calendar.ics") aria-label=of("Calendar")>"Calendar"</a>
            <a href=order aria-label=of("Order")>"Order"</a>
        </p>
    }
}

/// The printable tickets of the viewer's order.
#[component]
pub fn PrintPage() -> impl IntoView {
    let id = use_params_map().with_untracked(|params| params.get("id").unwrap_or_default());
    page_for(|viewer| async move {
        let id: OrderId = id.parse().map_err(|_| AppError::NotFound)?;
        let (orders, passes) = (
            context::port::<dyn Orders>()?,
            context::port::<dyn Passes>()?,
        );
        let events = context::port::<dyn Events>()?;
        let order = orders.get(&viewer, id).await?;
        let passes = passes.list_for_order(&viewer, id).await?;
        let event = order.event_id().ok_or(AppError::NotFound)?;
        if passes.is_empty() {
            return Err(AppError::NotFound);
        }
        let event = events.get(event).await?;
        let sheets = passes
            .iter()
            .map(|pass| sheet(pass, &event, &viewer.user.name))
            .collect_view();
        Ok(view! {
            <Title text=format!("Tickets: {}", event.title)/>
            <h1 class="sr-only">{format!("Your tickets for {}", event.title)}</h1>
            <div class="row on-screen">
                <a class="button button-quiet" href=format!("/orders/{id}")>"Back to the order"</a>
                <PrintButton/>
                <a class="button button-quiet" href=format!("/orders/{id}/tickets.pdf")>
                    "Download as PDF"
                </a>
            </div>
            <p class="hint on-screen without-script">
                "To print, use your browser's menu. One ticket goes on each page."
            </p>
            <ul class="sheets">{sheets}</ul>
        }
        .into_any())
    })
}

/// One ticket on a separate page.
pub(super) fn sheet(pass: &Pass, event: &Event, holder: &str) -> impl IntoView + use<> {
    let fact = |name: &'static str, value: String| {
        view! { <div><dt>{name}</dt> <dd dir="auto">{value}</dd></div> }
    };
    view! {
        <li class="sheet" id=format!("ticket-{}", pass.ticket)>
            <h2 class="title" dir="auto">{event.title.clone()}</h2>
            <p>{event.when_in_full()}</p>
            <p><bdi>{event.venue.clone()}</bdi> ", " <bdi>{event.city.clone()}</bdi></p>
            {pass_to_scan(pass)}
            <dl class="facts">
                {fact("Seat", pass.label.clone())}
                {fact("Holder", holder.to_owned())}
                {fact("Price", pass.price.to_string())}
                {fact("Order", pass.order.code())}
            </dl>
        </li>
    }
}
