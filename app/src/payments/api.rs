//! Server functions of payments.

use super::Payment;
use crate::error::AppError;
use leptos::server;

/// Charges an order to a card. The card form's island calls it with a ConfirmationToken; the demo
/// cards' form posts it with a test PaymentMethod, and is led on to where the payment stands.
#[server(prefix = "/fn", endpoint = "payments/pay")]
pub async fn pay(
    #[server(default)] order_id: String,
    #[server(default)] token: String,
) -> Result<Option<Payment>, AppError> {
    use crate::{
        context,
        payments::{Pay, PaymentStatus, Payments},
    };
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
                PaymentStatus::RequiresAction => payments.bank_page(&viewer, payment.id).await?,
                _ => None,
            };
            context::redirect(&bank.unwrap_or_else(|| format!("/orders/{order}")));
            Ok(None)
        }
        Ok(payment) => Ok(Some(payment)),
        Err(error) => context::refuse("pay", error, &[]),
    }
}

/// The newest payment of an order, if there is one: for a browser that lost the answer to [`pay`].
#[server(prefix = "/fn", endpoint = "payments/newest")]
pub async fn newest(#[server(default)] order_id: String) -> Result<Option<Payment>, AppError> {
    use crate::{context, orders::Orders, payments::Payments};
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

/// Leads on to the bank's page of a payment that waits for it: the way without JavaScript.
#[server(prefix = "/fn", endpoint = "payments/to_bank")]
pub async fn to_bank(#[server(default)] payment_id: String) -> Result<(), AppError> {
    use crate::{context, payments::Payments};
    let payments = context::port::<dyn Payments>()?;
    let viewer = match context::require_viewer() {
        Ok(viewer) => viewer,
        Err(error) => return context::refuse("pay", error, &[]),
    };
    let Ok(id) = payment_id.parse() else {
        return context::refuse("pay", AppError::NotFound, &[]);
    };
    match payments.bank_page(&viewer, id).await {
        Ok(Some(page)) => {
            context::redirect(&page);
            Ok(())
        }
        Ok(None) => {
            let payment = payments.get(&viewer, id).await?;
            context::redirect(&format!("/orders/{}", payment.order_id));
            Ok(())
        }
        Err(error) => context::refuse("pay", error, &[]),
    }
}
