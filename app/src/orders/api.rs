//! Server functions of orders.

use leptos::server;
use model::error::{AppError, AppResult};

/// Reserves so many tickets of one offer of an event's page (or of the event, cheapest first, where
/// no offer is named), and goes on to paying.
#[server(prefix = "/fn", endpoint = "orders/reserve")]
pub async fn reserve(
    #[server(default)] event_id: String,
    #[server(default)] quantity: String,
    #[server(default)] section: String,
    #[server(default)] price_minor: String,
    #[server(default)] face_value_minor: String,
    #[server(default)] seller_id: String,
    #[server(default)] attempt: String,
) -> Result<(), AppError> {
    use model::orders::{OfferOf, Reserve, ReserveAny};
    let Ok(event_id) = event_id.parse() else {
        return context::refuse("reserve", AppError::NotFound, &[]);
    };
    let Ok(quantity) = quantity.parse() else {
        let error = AppError::invalid("", "Choose how many tickets you want.");
        return context::refuse("reserve", error, &[]);
    };
    let request = Reserve::Any(ReserveAny {
        event_id,
        quantity,
        section: Some(section).filter(|section| !section.is_empty()),
        max_price_minor: price_minor.parse().ok(),
        offer: seller_id.parse().ok().zip(price_minor.parse().ok()).map(
            |(seller_id, price_minor)| OfferOf {
                seller_id,
                price_minor,
                face_value_minor: face_value_minor.parse().ok(),
            },
        ),
    });
    reserve_and_go(request, &attempt).await
}

/// Reserves the seats that were ticked, and goes on to paying.
#[server(prefix = "/fn", endpoint = "orders/reserve_seats")]
pub async fn reserve_seats(
    #[server(default)] ticket_ids: Vec<String>,
    #[server(default)] attempt: String,
) -> Result<(), AppError> {
    use model::orders::{Reserve, ReserveNamed};
    let ids: Result<Vec<_>, _> = ticket_ids.iter().map(|id| id.parse()).collect();
    let refusal = match ids {
        Ok(ids) if ids.is_empty() => AppError::invalid("", "Tick the seats that you want."),
        Ok(ticket_ids) => {
            let request = Reserve::Named(ReserveNamed { ticket_ids });
            return reserve_and_go(request, &attempt).await;
        }
        Err(_) => AppError::NotFound,
    };
    context::refuse("reserve", refusal, &[])
}

/// Reserves what was chosen before signing in, and goes on to paying.
#[server(prefix = "/fn", endpoint = "orders/reserve_chosen")]
pub async fn reserve_chosen(#[server(default)] choice: String) -> Result<(), AppError> {
    use super::Choice;
    match Choice::read(&choice) {
        Some(Choice { reserve, attempt }) => reserve_and_go(reserve, &attempt).await,
        None => choose_again(),
    }
}

/// Makes a guest of whoever is not signed in, reserves what they chose, and goes on to paying.
#[server(prefix = "/fn", endpoint = "orders/buy_as_guest")]
pub async fn buy_as_guest(
    #[server(default)] choice: String,
    #[server(default)] email: String,
    #[server(default)] name: String,
    #[server(default)] once: String,
) -> Result<(), AppError> {
    use super::Choice;

    use model::{
        accounts::{Accounts, BuyAsGuest, Viewer},
        orders::Orders,
    };
    let (accounts, orders) = (
        context::port::<dyn Accounts>()?,
        context::port::<dyn Orders>()?,
    );
    let Some(chosen) = Choice::read(&choice) else {
        return choose_again();
    };
    let next = chosen.page();
    let Choice { reserve, attempt } = chosen;
    if context::lacks_cookies() {
        return Ok(());
    }
    if let Some(viewer) = context::viewer() {
        return reserve_for(&*orders, &viewer, reserve, &attempt).await;
    }
    let guest = BuyAsGuest {
        email: email.clone(),
        name: name.clone(),
        form: once.parse().ok(),
        next,
    };
    match accounts.buy_as_guest(guest).await {
        Ok(user) => reserve_for(&*orders, &Viewer { user }, reserve, &attempt).await,
        Err(error) => context::refuse("guest", error, &[("email", &email), ("name", &name)]),
    }
}

fn choose_again() -> Result<(), AppError> {
    let error = AppError::invalid("", "Please choose once more.");
    context::refuse("reserve", error, &[])
}

async fn reserve_and_go(request: model::orders::Reserve, attempt: &str) -> Result<(), AppError> {
    use super::Choice;

    use model::orders::Orders;
    let orders = context::port::<dyn Orders>()?;
    match context::require_viewer() {
        Ok(viewer) => reserve_for(&*orders, &viewer, request, attempt).await,
        // Who they are is asked after what they want, and before any clock runs.
        Err(_) if context::posted_by_form() => {
            if let Err(error) = request.count() {
                return context::refuse("reserve", in_one_sentence(error), &[]);
            }
            let choice = Choice {
                reserve: request,
                attempt: attempt.to_owned(),
            };
            context::redirect(&choice.page());
            Ok(())
        }
        Err(error) => context::refuse("reserve", error, &[]),
    }
}

async fn reserve_for(
    orders: &dyn model::orders::Orders,
    viewer: &model::accounts::Viewer,
    request: model::orders::Reserve,
    attempt: &str,
) -> Result<(), AppError> {
    use model::error::Conflict;
    let attempt = Some(attempt).filter(|attempt| !attempt.is_empty());
    match orders.reserve(viewer, request, attempt).await {
        Ok(order) => {
            context::redirect(&format!("/orders/{}", order.id));
            Ok(())
        }
        // The form was sent again after it had been changed: what it asks for now is a new try.
        Err(AppError::Conflict {
            conflict: Conflict::IdempotencyMismatch,
            ..
        }) => choose_again(),
        Err(error) => context::refuse("reserve", in_one_sentence(error), &[]),
    }
}

/// The forms of reserving have no fields to mark: what is wrong is said above them.
fn in_one_sentence(error: AppError) -> AppError {
    match error {
        AppError::Invalid(fields) => {
            let message = fields
                .into_iter()
                .map(|wrong| wrong.message)
                .collect::<Vec<_>>()
                .join(" ");
            AppError::invalid("", message)
        }
        other => other,
    }
}

/// Who asks for something to be done with which order.
fn asked(
    order_id: &str,
) -> AppResult<(
    std::sync::Arc<dyn model::orders::Orders>,
    model::accounts::Viewer,
    model::ids::OrderId,
)> {
    let orders = context::port()?;
    let viewer = context::require_viewer()?;
    let id = order_id.parse().map_err(|_| AppError::NotFound)?;
    Ok((orders, viewer, id))
}

/// Gives the tickets back.
#[server(prefix = "/fn", endpoint = "orders/cancel")]
pub async fn cancel(#[server(default)] order_id: String) -> Result<(), AppError> {
    let (orders, viewer, id) = match asked(&order_id) {
        Ok(asked) => asked,
        Err(error) => return context::refuse("order", error, &[]),
    };
    match orders.cancel(&viewer, id, None).await {
        Ok(()) => {
            context::notice("The order is cancelled, and its tickets are for sale again.");
            context::redirect(&format!("/orders/{id}"));
            Ok(())
        }
        Err(error) => context::refuse("order", error, &[]),
    }
}

/// Reserves what an order that ran out was for, once more.
#[server(prefix = "/fn", endpoint = "orders/reserve_again")]
pub async fn reserve_again(
    #[server(default)] order_id: String,
    #[server(default)] attempt: String,
) -> Result<(), AppError> {
    let (orders, viewer, id) = match asked(&order_id) {
        Ok(asked) => asked,
        Err(error) => return context::refuse("again", error, &[]),
    };
    let attempt = Some(attempt.as_str()).filter(|attempt| !attempt.is_empty());
    match orders.reserve_again(&viewer, id, attempt).await {
        Ok(order) => {
            context::redirect(&format!("/orders/{}", order.id));
            Ok(())
        }
        Err(error) => context::refuse("again", in_one_sentence(error), &[]),
    }
}
