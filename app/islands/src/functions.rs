//! The server functions that islands call. Without JavaScript, forms are sent to `pay` and `extend_hold`.

use leptos::server;
use model::{error::AppError, payments::Payment};

/// Charges an order to a card. The card form's island calls it with a ConfirmationToken; the demo cards' form
/// posts a test PaymentMethod, and is redirected to the bank or the order.
#[server(prefix = "/fn", endpoint = "payments/pay")]
pub async fn pay(
    #[server(default)] order_id: String,
    #[server(default)] token: String,
) -> Result<Option<Payment>, AppError> {
    use model::payments::{Pay, PaymentStatus, Payments};
    let payments = context::port::<dyn Payments>()?;
    let viewer = match context::require_viewer() {
        Ok(viewer) => viewer,
        Err(error) => return context::refuse("pay", error, &[]),
    };
    let Ok(order) = order_id.parse() else {
        return context::refuse("pay", AppError::NotFound, &[]);
    };
    let by_form = context::posted_by_form();
    match payments
        .pay(
            &viewer,
            Pay {
                order_id: order,
                token,
            },
        )
        .await
    {
        Ok(payment) if by_form => {
            let bank = match payment.status {
                PaymentStatus::RequiresAction => {
                    payments.find_bank_page(&viewer, payment.id).await?
                }
                _ => None,
            };
            context::redirect(&bank.unwrap_or_else(|| format!("/orders/{order}")));
            Ok(None)
        }
        Ok(payment) => Ok(Some(payment)),
        Err(error) => context::refuse("pay", error, &[]),
    }
}

/// Returns the newest payment of an order, if any: for a browser that lost the response to [`pay`].
#[server(prefix = "/fn", endpoint = "payments/newest")]
pub async fn find_newest_payment(
    #[server(default)] order_id: String,
) -> Result<Option<Payment>, AppError> {
    use model::{orders::Orders, payments::Payments};
    let (orders, payments) = (
        context::port::<dyn Orders>()?,
        context::port::<dyn Payments>()?,
    );
    let viewer = context::require_viewer()?;
    let order = order_id.parse().map_err(|_| AppError::NotFound)?;
    match orders.get(&viewer, order).await?.payment_id {
        Some(payment) => Ok(Some(payments.get(&viewer, payment).await?)),
        None => Ok(None),
    }
}

/// Extends the hold of an order. Returns the seconds left.
#[server(prefix = "/fn", endpoint = "orders/more_time")]
pub async fn extend_hold(#[server(default)] order_id: String) -> Result<i64, AppError> {
    use model::orders::Orders;
    let orders = context::port::<dyn Orders>()?;
    let viewer = match context::require_viewer() {
        Ok(viewer) => viewer,
        Err(error) => return context::refuse("order", error, &[]),
    };
    let Ok(id) = order_id.parse() else {
        return context::refuse("order", AppError::NotFound, &[]);
    };
    match orders.extend_hold(&viewer, id).await {
        Ok(order) => {
            if context::posted_by_form() {
                context::notice("You have more time. There is no more after this.");
                context::redirect(&format!("/orders/{id}"));
            }
            Ok(order.seconds_left)
        }
        Err(error) => context::refuse("order", error, &[]),
    }
}
