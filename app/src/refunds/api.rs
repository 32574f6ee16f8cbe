//! Server functions of refunds.

use leptos::server;
use model::error::AppError;

/// Refunds a ticket to its buyer.
#[server(prefix = "/fn", endpoint = "refunds/ask")]
pub async fn create(#[server(default)] ticket_id: String) -> Result<(), AppError> {
    use model::refunds::{CreateRefund, RefundStatus, Refunds};
    let refunds = context::port::<dyn Refunds>()?;
    let viewer = match context::require_viewer() {
        Ok(viewer) => viewer,
        Err(error) => return context::refuse("refund", error, &[]),
    };
    let Ok(id) = ticket_id.parse() else {
        return context::refuse("refund", AppError::NotFound, &[]);
    };
    let request = CreateRefund {
        ticket_ids: Some(vec![id]),
        order_id: None,
    };
    match refunds.create(&viewer, request).await {
        Ok(refund) if refund.status == RefundStatus::Failed => {
            let words = "The refund didn't get through, so the ticket is still the buyer's. \
                         We're looking into it.";
            context::refuse("refund", AppError::invalid("", words), &[])
        }
        Ok(refund) => {
            let amount = refund.amount();
            context::notice(format!("{amount} is on its way back to the buyer."));
            context::redirect("/selling");
            Ok(())
        }
        Err(error) => context::refuse("refund", error, &[]),
    }
}
