//! Server functions of payments.

use leptos::server;
use model::error::AppError;

/// Redirects to the bank's page of a payment that requires action, for browsers without JavaScript; otherwise
/// to the order's page.
#[server(prefix = "/fn", endpoint = "payments/to_bank")]
pub async fn find_bank_page(#[server(default)] payment_id: String) -> Result<(), AppError> {
    use model::payments::Payments;
    let payments = context::port::<dyn Payments>()?;
    let viewer = match context::require_viewer() {
        Ok(viewer) => viewer,
        Err(error) => return context::refuse("pay", error, &[]),
    };
    let Ok(id) = payment_id.parse() else {
        return context::refuse("pay", AppError::NotFound, &[]);
    };
    match payments.find_bank_page(&viewer, id).await {
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
