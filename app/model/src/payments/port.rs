//! The port of payments.

use super::{Pay, Payment};
use crate::ids::{OrderId, PaymentId};
use crate::{accounts::Viewer, error::AppResult};
use async_trait::async_trait;

/// Payments of the viewer's own orders. Payments of others are `NotFound`.
#[async_trait]
pub trait Payments: Send + Sync {
    /// Charges an order to a card. Money is captured only behind the order's fence. The answer is `processing`
    /// if Stripe takes too long.
    ///
    /// Errors: `Invalid` at `token`, `NotFound`, `PaymentDeclined`, `PaymentInProgress`,
    /// `OrderExpired`, `OrderCancelled`, `OrderComplete`, `OrderRefunded`.
    async fn pay(&self, viewer: &Viewer, request: Pay) -> AppResult<Payment>;

    /// Returns a payment, refreshed from Stripe if it is under way. Errors: `NotFound`.
    async fn get(&self, viewer: &Viewer, id: PaymentId) -> AppResult<Payment>;

    /// Returns the order's newest payment, refreshed from Stripe if it is under way. Stripe is asked once in two
    /// seconds. With `from_bank` (the buyer returns from their bank), waits until Stripe can be asked again,
    /// because an earlier answer is out of date.
    async fn find_newest(
        &self,
        viewer: &Viewer,
        order: OrderId,
        from_bank: bool,
    ) -> AppResult<Option<Payment>>;

    /// Returns the URL of the bank's page for a payment that requires action, for buyers without JavaScript.
    /// The bank sends the buyer back to the order's page. Errors: `NotFound`.
    async fn find_bank_page(&self, viewer: &Viewer, id: PaymentId) -> AppResult<Option<String>>;
}
