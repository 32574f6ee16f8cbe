//! Server functions of refunds.

use leptos::server;
use model::error::AppError;

/// Pays the buyer of a ticket back.
#[server(prefix = "/fn", endpoint = "refunds/ask")]
pub async fn ask(#[server(default)] ticket_id: String) -> Result<(), AppError> {
    use model::refunds::{AskRefund, RefundStatus, Refunds};
    let refunds = context::port::<dyn Refunds>()?;
    let viewer = match context::require_viewer() {
        Ok(viewer) => viewer,
        Err(error) => return context::refuse("refund", error, &[]),
    };
    let Ok(id) = ticket_id.parse() else {
        return context::refuse("refund", AppError::NotFound, &[]);
    };
    let request = AskRefund {
        ticket_ids: Some(vec![id]),
        order_id: None,
    };
    match refunds.ask(&viewer, request).await {
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
