//! Server functions of orders.

use leptos::server;
use model::error::{AppError, AppResult};

/// Reserves tickets of one offer of an event's page, or the cheapest of the event if no offer is given, and
/// redirects to the order.
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
    reserve_or_checkout(request, &attempt).await
}

/// Reserves the selected seats, and redirects to the order.
#[server(prefix = "/fn", endpoint = "orders/reserve_seats")]
pub async fn reserve_seats(
    #[server(default)] ticket_ids: Vec<String>,
    #[server(default)] attempt: String,
) -> Result<(), AppError> {
    use model::orders::{Reserve, ReserveNamed};
    let ids: Result<Vec<_>, _> = ticket_ids.iter().map(|id| id.parse()).collect();
    let error = match ids {
        Ok(ids) if ids.is_empty() => AppError::invalid("", "Tick the seats that you want."),
        Ok(ticket_ids) => {
            let request = Reserve::Named(ReserveNamed { ticket_ids });
            return reserve_or_checkout(request, &attempt).await;
        }
        Err(_) => AppError::NotFound,
    };
    context::refuse("reserve", error, &[])
}

/// Reserves what was chosen before signing in, and redirects to the order.
#[server(prefix = "/fn", endpoint = "orders/reserve_chosen")]
pub async fn reserve_chosen(#[server(default)] choice: String) -> Result<(), AppError> {
    use super::Choice;
    match Choice::decode(&choice) {
        Some(Choice { reserve, attempt }) => reserve_or_checkout(reserve, &attempt).await,
        None => choose_again(),
    }
}

/// Creates a guest account unless the visitor is signed in, reserves what they chose, and redirects to the
/// order.
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
    let Some(chosen) = Choice::decode(&choice) else {
        return choose_again();
    };
    let next = chosen.checkout_url();
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

async fn reserve_or_checkout(
    request: model::orders::Reserve,
    attempt: &str,
) -> Result<(), AppError> {
    use super::Choice;

    use model::orders::Orders;
    let orders = context::port::<dyn Orders>()?;
    match context::require_viewer() {
        Ok(viewer) => reserve_for(&*orders, &viewer, request, attempt).await,
        // Visitors who are not signed in identify themselves at the checkout, before the hold begins.
        Err(_) if context::posted_by_form() => {
            if let Err(error) = request.count() {
                return context::refuse("reserve", join_field_errors(error), &[]);
            }
            let choice = Choice {
                reserve: request,
                attempt: attempt.to_owned(),
            };
            context::redirect(&choice.checkout_url());
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
        // The form was changed and sent again with the same key.
        Err(AppError::Conflict {
            conflict: Conflict::IdempotencyMismatch,
            ..
        }) => choose_again(),
        Err(error) => context::refuse("reserve", join_field_errors(error), &[]),
    }
}

/// Joins the errors of all fields: reservation forms show errors above the form, not at fields.
fn join_field_errors(error: AppError) -> AppError {
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

/// The port, the viewer and the order of a request.
fn parse_order_request(
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

/// Cancels an order.
#[server(prefix = "/fn", endpoint = "orders/cancel")]
pub async fn cancel(#[server(default)] order_id: String) -> Result<(), AppError> {
    let (orders, viewer, id) = match parse_order_request(&order_id) {
        Ok(request) => request,
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

/// Reserves the tickets of an expired or cancelled order again.
#[server(prefix = "/fn", endpoint = "orders/reserve_again")]
pub async fn reserve_again(
    #[server(default)] order_id: String,
    #[server(default)] attempt: String,
) -> Result<(), AppError> {
    let (orders, viewer, id) = match parse_order_request(&order_id) {
        Ok(request) => request,
        Err(error) => return context::refuse("again", error, &[]),
    };
    let attempt = Some(attempt.as_str()).filter(|attempt| !attempt.is_empty());
    match orders.reserve_again(&viewer, id, attempt).await {
        Ok(order) => {
            context::redirect(&format!("/orders/{}", order.id));
            Ok(())
        }
        Err(error) => context::refuse("again", join_field_errors(error), &[]),
    }
}
