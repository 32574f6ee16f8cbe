//! The viewer's open orders on pages other than the order's own: the strip below the header and the notice
//! on the event's page, each with the time left and a link to pay.

use crate::ui::{Icon, icon};
use islands::HoldClock;
use leptos::prelude::*;
use model::{
    ids::EventId,
    orders::{OpenOrder, Orders},
};

/// Shown below the header of every page that does not show the order itself.
pub fn held_strip() -> Option<AnyView> {
    let viewer = context::viewer()?;
    let orders = context::port::<dyn Orders>().ok()?;
    let here = context::here();
    let content = Suspend::new(async move {
        // On an error the strip is left out; the page itself reports errors.
        let open = orders.list_open(&viewer).await.unwrap_or_default();
        let first = open.into_iter().find(|order| !is_shown_at(order, &here));
        first.map(|order| strip(&order))
    });
    Some(view! { <Suspense>{content}</Suspense> }.into_any())
}

/// Whether the page at `here` shows this order.
fn is_shown_at(order: &OpenOrder, here: &str) -> bool {
    let path = here.split('?').next().unwrap_or_default();
    path.starts_with(&format!("/orders/{}", order.id))
        || path == format!("/events/{}", order.event_id)
}

fn strip(order: &OpenOrder) -> AnyView {
    view! {
        <aside class="held-strip" aria-label="Tickets held for you">
            <p class="wrap held-row">
                <span class="held-what">
                    {icon(Icon::Clock)} {order.ticket_count()} " for " <bdi>{order.event_title.clone()}</bdi>
                    " held for you: " <HoldClock seconds_left=order.seconds_left/> " left"
                </span>
                <a class="button button-small" href=format!("/orders/{}", order.id)>"Pay now"</a>
            </p>
        </aside>
    }
    .into_any()
}

/// Shown on the event's page, above the tickets for sale: the viewer's open orders for the event.
pub fn held_notices(open: &[OpenOrder], event: EventId) -> Option<AnyView> {
    let notices: Vec<AnyView> = open
        .iter()
        .filter(|order| order.event_id == event)
        .map(notice)
        .collect();
    (!notices.is_empty()).then(|| notices.into_any())
}

fn notice(order: &OpenOrder) -> AnyView {
    view! {
        <div class="panel held-here">
            <p class="title">
                {icon(Icon::Clock)} {order.ticket_count()} " held for you"
            </p>
            <p>
                "Pay within " <HoldClock seconds_left=order.seconds_left/>
                ", or they go back on sale."
            </p>
            <p><a class="button" href=format!("/orders/{}", order.id)>"Continue to payment"</a></p>
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ids::OrderId;
    use uuid::Uuid;

    #[test]
    fn a_page_that_shows_the_order_has_no_strip_for_it() {
        let order = OpenOrder {
            id: OrderId(Uuid::from_u128(1)),
            event_id: EventId(Uuid::from_u128(2)),
            event_title: "Late Show".to_owned(),
            tickets: 2,
            seconds_left: 700,
        };
        for (page, shown) in [
            (format!("/orders/{}", order.id), true),
            (format!("/orders/{}/tickets", order.id), true),
            (format!("/events/{}?max=20", order.event_id), true),
            (format!("/orders/{}", OrderId(Uuid::from_u128(3))), false),
            ("/orders".to_owned(), false),
            ("/".to_owned(), false),
        ] {
            assert_eq!(is_shown_at(&order, &page), shown, "{page}");
        }
    }
}
