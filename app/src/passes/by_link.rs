//! `/order?link=…`: an order's tickets for anyone who has the mailed link, without signing in. A GET has no
//! effect on the link, because mail programs follow links too.

use super::pages::{frozen_notice, sheet};
use crate::{events::event_strip, ui::page};
use leptos::prelude::*;
use leptos_meta::{Meta, Title};
use leptos_router::hooks::use_query_map;
use model::{
    accounts::AccountCare,
    error::AppError,
    order_link::OrderLink,
    passes::{LinkedOrder, Passes},
};

/// The page of a mailed link.
#[component]
pub fn LinkedOrderPage() -> impl IntoView {
    let link = use_query_map().with_untracked(|query| query.get("link").unwrap_or_default());
    context::set_secret_headers();
    page(async move {
        let (passes, care) = (
            context::port::<dyn Passes>()?,
            context::port::<dyn AccountCare>()?,
        );
        let link = OrderLink(link);
        // The link was mailed to the buyer's address, so it verifies the address of the signed-in buyer.
        if let Some(viewer) = context::viewer().filter(|viewer| !viewer.user.email_verified) {
            care.verify_by_order_link(&viewer, &link).await?;
        }
        let content = match passes.find_by_link(&link).await {
            Ok(order) => tickets(order, &link),
            Err(AppError::NotFound) => dead_link(),
            Err(error) => return Err(error),
        };
        Ok(view! { <Meta name="robots" content="noindex, nofollow"/> {content} }.into_any())
    })
}

fn tickets(order: LinkedOrder, link: &OrderLink) -> AnyView {
    let LinkedOrder {
        event,
        holder,
        passes,
        refunded,
        frozen,
        ..
    } = order;
    let link = context::percent_encode(&link.0);
    let papers = (!passes.is_empty()).then(|| {
        view! {
            <p class="row papers">
                <a class="button button-quiet" href=format!("/order/tickets.pdf?link={link}")>"Download PDF"</a>
                <a class="button button-quiet" href=format!("/order/calendar.ics?link={link}")>"Add to calendar"</a>
            </p>
        }
    });
    let sheets = passes
        .iter()
        .map(|pass| sheet(pass, &event, &holder))
        .collect_view();
    view! {
        <Title text=format!("Tickets: {}", event.title)/>
        <div class="stack">
            <h1 class="display">"Your tickets"</h1>
            {event_strip(&event, None)}
            {(frozen > 0).then(frozen_notice)}
            {refund_notice(refunded, passes.len() + frozen)}
            {papers}
            <ul class="sheets">{sheets}</ul>
            <p class="quiet">
                "Anyone who has the address of this page can use these tickets: share it only with the "
                "people who come with you. What was paid, and all your orders, are in " <a href="/orders">"your account"</a> "."
            </p>
        </div>
    }
    .into_any()
}

/// A notice of refunded tickets, if any.
fn refund_notice(refunded: usize, left: usize) -> Option<AnyView> {
    let words = match (refunded, left) {
        (0, _) => return None,
        (_, 0) => "This order was refunded. Its tickets are no longer valid.".to_owned(),
        (1, _) => "1 ticket of this order was refunded and is no longer valid.".to_owned(),
        (many, _) => {
            format!("{many} tickets of this order were refunded and are no longer valid.")
        }
    };
    Some(view! { <p class="notice" role="status">{words}</p> }.into_any())
}

fn dead_link() -> AnyView {
    context::page_status(AppError::NotFound.status());
    view! {
        <Title text="This link shows no tickets"/>
        <section class="empty">
            <p class="empty-code">{AppError::NotFound.status().as_u16()}</p>
            <h1 class="display">"This link shows no tickets"</h1>
            <p>
                "A link works until 30 days after the event. Open it from the mail rather than typing it, "
                "so that it is complete. Your orders are also in your account."
            </p>
            <p><a class="button" href="/orders">"Your orders"</a></p>
        </section>
    }
    .into_any()
}
