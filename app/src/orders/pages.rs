//! `/orders` and `/orders/:id`.

use super::{
    api,
    paid::{late_charge_text, paid, refund_summary},
    timeline::timeline,
};
use crate::{
    events::{Spot, cover, event_time},
    payments::payment_panel,
    ui::{Form, Icon, flash_message, hidden, icon, page_for, post_to, problem_at_top, steps},
};
use islands::{Countdown, in_minutes};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::{use_params_map, use_query_map};
use model::{
    accounts::{Accounts, Viewer},
    error::{AppError, AppResult},
    events::{Event, Events},
    ids::{OrderId, UserId},
    orders::{Order, OrderHistory, OrderQuery, OrderStatus, Orders, TimelineEntry},
    passes::{Pass, Passes},
    payments::{Payment, PaymentStatus, Payments},
    refunds::{Refund, Refunds},
};
use std::collections::HashMap;

/// The viewer's orders.
#[component]
pub fn OrdersPage() -> impl IntoView {
    let cursor = use_query_map().with_untracked(|query| query.get("cursor"));
    page_for(|viewer| async move {
        let flash = context::take_flash();
        let (orders, events) = (
            context::port::<dyn Orders>()?,
            context::port::<dyn Events>()?,
        );
        let list = match orders
            .list(
                &viewer,
                OrderQuery {
                    cursor,
                    limit: Some(20),
                },
            )
            .await
        {
            Err(AppError::Invalid(_)) => orders.list(&viewer, OrderQuery::default()).await?,
            list => list?,
        };
        let mut rows = Vec::with_capacity(list.orders.len());
        for order in list.orders {
            let event = match order.event_id() {
                Some(event) => events.get(event).await.ok(),
                None => None,
            };
            rows.push(row(&order, event.as_ref()));
        }
        let nothing = rows.is_empty();
        let more = list
            .next
            .map(|cursor| format!("/orders?cursor={}", context::percent_encode(&cursor)));
        Ok(view! {
            <Title text="Orders"/>
            <h1 class="display">"Orders"</h1>
            {flash_message(flash.as_ref())}
            <ul class="rows panel" class:hidden=nothing>{rows}</ul>
            {nothing.then(|| view! {
                <div class="empty">
                    <p>"You have not ordered anything yet."</p>
                    <p><a class="button" href="/">"See what is on"</a></p>
                </div>
            })}
            {more.map(|href| view! {
                <p class="more"><a class="button button-quiet" href=href>"Older orders"</a></p>
            })}
        }
        .into_any())
    })
}

fn row(order: &Order, event: Option<&Event>) -> impl IntoView + use<> {
    let title = event.map_or_else(|| "Order".to_owned(), |event| event.title.clone());
    let begins = event.map(Event::when);
    view! {
        <li>
            <a class="order-row" href=format!("/orders/{}", order.id)>
                <span>
                    <strong dir="auto">{title}</strong>
                    <br/>
                    <span class="quiet">{begins} " · " {count(order.tickets.len())}</span>
                </span>
                <span class="order-row-end">
                    {status_badge(order.status)}
                    <strong>{order.total().to_string()}</strong>
                </span>
            </a>
        </li>
    }
}

/// `1 ticket`, `2 tickets`
pub(super) fn count(tickets: usize) -> String {
    if tickets == 1 {
        "1 ticket".to_owned()
    } else {
        format!("{tickets} tickets")
    }
}

fn status_badge(status: OrderStatus) -> impl IntoView {
    let (class, text) = match status {
        OrderStatus::Created => ("badge badge-open", "Waiting for payment"),
        OrderStatus::AwaitingPayment => ("badge badge-open", "Being paid"),
        OrderStatus::Complete => ("badge badge-good", "Paid"),
        OrderStatus::Expired => ("badge", "Expired"),
        OrderStatus::Cancelled => ("badge", "Cancelled"),
        OrderStatus::Refunded => ("badge", "Refunded"),
    };
    view! { <span class=class>{text}</span> }
}

/// The data of an order's page.
struct OrderData {
    order: Order,
    event: Event,
    payment: Option<Payment>,
    refunds: Vec<Refund>,
    passes: Vec<Pass>,
    moments: Vec<TimelineEntry>,
    sellers: HashMap<UserId, String>,
}

/// Errors: `NotFound`.
async fn load(viewer: &Viewer, id: OrderId, from_bank: bool) -> AppResult<OrderData> {
    let (orders, history) = (
        context::port::<dyn Orders>()?,
        context::port::<dyn OrderHistory>()?,
    );
    let payments = context::port::<dyn Payments>()?;
    let (accounts, passes) = (
        context::port::<dyn Accounts>()?,
        context::port::<dyn Passes>()?,
    );
    let (events, refunds) = (
        context::port::<dyn Events>()?,
        context::port::<dyn Refunds>()?,
    );
    // Must precede reading the order: if a payment is in progress, this asks Stripe and may change the order.
    let payment = payments.find_newest(viewer, id, from_bank).await?;
    let order = orders.get(viewer, id).await?;
    let event = order.event_id().ok_or(AppError::NotFound)?;
    let sellers: Vec<UserId> = order.tickets.iter().map(|sold| sold.seller_id).collect();
    Ok(OrderData {
        order,
        sellers: accounts.find_names(&sellers).await?,
        event: events.get(event).await?,
        payment,
        refunds: refunds.list_for_order(viewer, id).await?,
        passes: passes.list_for_order(viewer, id).await?,
        moments: history.get_timeline(viewer, id).await?.moments,
    })
}

/// One order: the countdown and the payment form while it is open, the tickets once it is paid, and the
/// timeline.
#[component]
pub fn OrderPage() -> impl IntoView {
    let id = use_params_map().with_untracked(|params| params.get("id").unwrap_or_default());
    let from_bank = use_query_map().with_untracked(|query| query.get("payment_intent").is_some());
    page_for(|viewer| async move {
        let id: OrderId = id.parse().map_err(|_| AppError::NotFound)?;
        let mut data = load(&viewer, id, from_bank).await?;
        if from_bank {
            // Removes the query parameters added by Stripe, one of which is secret.
            context::redirect(&format!("/orders/{id}"));
            return Ok(().into_any());
        }
        let flash = context::take_flash();
        let payment = data.payment.take();
        let state = state(&data, payment, &viewer, flash.as_ref())?;
        let step = step(&data.order);
        let OrderData { order, event, .. } = &data;
        let heading = order.is_open().then(|| {
            view! { <h1 class="sr-only">{format!("Pay for {}", event.title)}</h1> }
        });
        Ok(view! {
            <Title text=format!("Order: {}", event.title)/>
            {flash_message(flash.as_ref())}
            {heading}
            <div class=if order.is_open() { "order order-open" } else { "order order-done" }>
                {summary(&data, &viewer.user.email)}
                <div class="order-main stack">
                    {steps(&STEPS, step)}
                    {state} {timeline(order, event, &data.moments)}
                </div>
            </div>
        }
        .into_any())
    })
}

/// Labels of the steps of a purchase.
pub(super) const STEPS: [&str; 4] = ["Choose", "Your details", "Pay", "Tickets"];

/// Index into [`STEPS`]; `None` if the purchase has ended.
fn step(order: &Order) -> Option<usize> {
    match order.status {
        OrderStatus::Created | OrderStatus::AwaitingPayment => Some(2),
        OrderStatus::Complete => Some(3),
        OrderStatus::Expired | OrderStatus::Cancelled | OrderStatus::Refunded => None,
    }
}

/// The main part of the page, by the status of the order.
fn state(
    data: &OrderData,
    payment: Option<Payment>,
    viewer: &Viewer,
    flash: Option<&context::Flash>,
) -> AppResult<AnyView> {
    let OrderData {
        order,
        event,
        refunds,
        passes,
        ..
    } = data;
    let status = payment.as_ref().map(|payment| payment.status);
    let in_progress = matches!(
        status,
        Some(PaymentStatus::RequiresAction | PaymentStatus::Processing)
    );
    Ok(match order.status {
        // The grace applies only while a payment is in progress.
        OrderStatus::Created | OrderStatus::AwaitingPayment
            if order.seconds_left == 0 && !in_progress =>
        {
            expired(data, flash)
        }
        OrderStatus::Created | OrderStatus::AwaitingPayment => {
            let pay = payment_panel(order, payment, flash)?;
            open(order, pay, status, &viewer.user.email, flash)?
        }
        OrderStatus::Complete | OrderStatus::Refunded => {
            paid(order, event, refunds, passes, &viewer.user)
        }
        OrderStatus::Expired => expired(data, flash),
        OrderStatus::Cancelled => {
            let text = format!(
                "The tickets went back on sale. {}",
                late_charge_text(refunds)
            );
            ended(data, "This order was cancelled", text, flash)
        }
    })
}

/// The tickets and their prices. While the order is open, phones show a one-line summary that can be
/// expanded, so that the card form fits on the first screen.
fn summary(data: &OrderData, email: &str) -> AnyView {
    let OrderData { order, event, .. } = data;
    let link = view! {
        <a dir="auto" href=format!("/events/{}", event.id)>{event.title.clone()}</a>
    };
    if !order.is_open() {
        return view! {
            <aside class="order-summary panel order-facts" aria-label="What you are buying">
                <div class="order-art">{cover(event, Spot::Order)}</div>
                <h1 class="title">{link}</h1>
                {facts(data)}
                {(order.status == OrderStatus::Complete).then(|| mailed_to(email))}
            </aside>
        }
        .into_any();
    }
    let day = event.when();
    let what = format!("{day} · {}", count(order.tickets.len()));
    view! {
        <aside class="order-summary" aria-label="What you are buying">
            <details class="panel order-fold">
                <summary>
                    <span class="order-line">
                        <bdi class="title">{event.title.clone()}</bdi>
                        <span class="quiet">{what}</span>
                    </span>
                    <strong>{order.total().to_string()}</strong>
                </summary>
                <div class="order-facts">
                    <div class="order-art">{cover(event, Spot::Order)}</div>
                    <p class="title">{link}</p>
                    {facts(data)}
                </div>
            </details>
        </aside>
    }
    .into_any()
}

/// Time, place, each ticket and the total.
fn facts(data: &OrderData) -> AnyView {
    let OrderData {
        order,
        event,
        refunds,
        sellers,
        ..
    } = data;
    let lines = order
        .tickets
        .iter()
        .map(|ticket| {
            let sold_by = sold_by(&[ticket.seller_id], sellers);
            view! {
                <li class="line">
                    <span><bdi>{ticket.label.clone()}</bdi> <span class="quiet">{sold_by}</span></span>
                    <span>{ticket.price().to_string()}</span>
                </li>
            }
        })
        .collect_view();
    view! {
        <p class="fact">{icon(Icon::Clock)} {event_time(event)}</p>
        <p class="fact">{icon(Icon::Place)} <span><bdi>{event.venue.clone()}</bdi> ", " <bdi>{event.city.clone()}</bdi></span></p>
        <ul class="lines">{lines}</ul>
        <p class="line total">
            <span>"Total"</span>
            <strong>{order.total().to_string()}</strong>
        </p>
        {match refund_summary(order, refunds) {
            Some(summary) => summary,
            None => view! {
                <p class="quiet">"This is all you pay: no fees are added."</p>
            }
            .into_any(),
        }}
    }
    .into_any()
}

/// The address to which tickets are mailed, with a link to correct it.
pub(super) fn mailed_to(email: &str) -> impl IntoView + use<> {
    view! {
        <p class="quiet">
            "The tickets are mailed to " <strong>{email.to_owned()}</strong> ". "
            <a href="/account#address">"Not your address?"</a>
        </p>
    }
}

/// ` from Ann and Bob`: the sellers, each once; empty if their names are not known.
pub(super) fn sold_by(sellers: &[UserId], names: &HashMap<UserId, String>) -> String {
    let mut unique: Vec<&str> = Vec::new();
    for name in sellers.iter().filter_map(|seller| names.get(seller)) {
        if !unique.contains(&name.as_str()) {
            unique.push(name);
        }
    }
    if unique.is_empty() {
        String::new()
    } else {
        format!(" from {}", unique.join(" and "))
    }
}

/// The countdown, the payment form and the button to cancel.
fn open(
    order: &Order,
    pay: AnyView,
    payment: Option<PaymentStatus>,
    email: &str,
    flash: Option<&context::Flash>,
) -> AppResult<AnyView> {
    let form = Form::new("order", flash);
    let of = context::site()?.hold_seconds;
    // While the payment is processed the order cannot expire, so no countdown is shown.
    let processing = payment == Some(PaymentStatus::Processing);
    let countdown = (!processing).then(|| {
        let extension = order
            .can_extend_hold()
            .then(|| extension_without_script(order));
        view! {
            <Countdown
                seconds_left=order.seconds_left
                of=of
                more_seconds=order.more_time_seconds
                order_id=order.id.to_string()
            />
            <noscript>
                <p class="quiet">"Load the page again to see how much time is left."</p>
                <div>{extension}</div>
            </noscript>
        }
    });
    let cancel = (!processing).then(|| {
        view! {
            {post_to::<api::Cancel>("", view! {
                {problem_at_top(&form)}
                {hidden("order_id", order.id.to_string())}
                <button class="button button-quiet" type="submit">"Cancel and give the tickets back"</button>
            })}
        }
    });
    let mailed_to = mailed_to(email);
    Ok(view! { {countdown} {mailed_to} {pay} {terms()} {cancel} }.into_any())
}

/// The terms of the sale; below the button, so that phones show the countdown and the card form first.
fn terms() -> impl IntoView {
    view! {
        <div>
            <p class="quiet">
                "A sale is final. If a seller cannot provide the tickets, your money goes back to your card. "
                <a href="/help#refunds">"How refunds work"</a>
            </p>
            <p class="quiet">
                "By paying you buy from the sellers named with the tickets, under our "
                <a href="/help#terms">"terms of sale"</a> ". "
                <a href="/help">"Questions?"</a>
            </p>
        </div>
    }
}

/// The form to extend the hold, for browsers without JavaScript; otherwise the countdown offers it.
fn extension_without_script(order: &Order) -> impl IntoView + use<> {
    let more = in_minutes(order.more_time_seconds);
    post_to::<islands::ExtendHold>(
        "row",
        view! {
            {hidden("order_id", order.id.to_string())}
            <button class="button button-quiet" type="submit">
                {format!("Take {more} more, once")}
            </button>
        },
    )
}

fn expired(data: &OrderData, flash: Option<&context::Flash>) -> AnyView {
    let charged = late_charge_text(&data.refunds);
    let text = format!("The tickets went back on sale. {charged}");
    ended(data, "The time to pay ran out", text, flash)
}

/// An order that ended unpaid, with a button to reserve the same tickets again.
fn ended(
    data: &OrderData,
    title: &'static str,
    text: String,
    flash: Option<&context::Flash>,
) -> AnyView {
    let OrderData { order, event, .. } = data;
    let form = Form::new("again", flash);
    let again = event.span().is_on_sale(context::now()).then(|| {
        post_to::<api::ReserveAgain>(
            "",
            view! {
                {problem_at_top(&form)}
                {hidden("order_id", order.id.to_string())}
                {hidden("attempt", context::new_attempt())}
                <button class="button" type="submit">
                    {format!("Reserve {} again", count(order.tickets.len()))}
                </button>
            },
        )
    });
    view! {
        <div class="panel stack" role="status">
            <h2 class="title">{title}</h2>
            <p>{text}</p>
            {again}
            <p class="row">
                <a class="button button-quiet" href=format!("/events/{}", event.id)>
                    "See what is still there"
                </a>
                <a class="button button-quiet" href="/">"See what else is on"</a>
            </p>
        </div>
    }
    .into_any()
}
