//! What a browser can ask of payments.

use super::{Pay, Payment};
use crate::ids::{OrderId, PaymentId};
use crate::{accounts::Viewer, error::AppResult};
use async_trait::async_trait;

/// Paying for one's own orders. Another's payment is `NotFound`.
#[async_trait]
pub trait Payments: Send + Sync {
    /// Charges an order to a card. Money is taken only behind the order's fence; a refusal or
    /// a lost race never charges.
    ///
    /// Errors: `Invalid` at `token`, `NotFound`, `PaymentDeclined`, `PaymentInProgress`,
    /// `OrderExpired`, `OrderCancelled`, `OrderComplete`, `OrderRefunded`.
    async fn pay(&self, viewer: &Viewer, request: Pay) -> AppResult<Payment>;

    /// One payment, after asking Stripe if it is still open. Errors: `NotFound`.
    async fn get(&self, viewer: &Viewer, id: PaymentId) -> AppResult<Payment>;

    /// The order's newest payment, after asking Stripe if it is still open. Requests share what Stripe
    /// said within two seconds. A buyer who comes `from_bank` waits until Stripe can be asked again: what
    /// was said before they went there is out of date.
    async fn of_order(
        &self,
        viewer: &Viewer,
        order: OrderId,
        from_bank: bool,
    ) -> AppResult<Option<Payment>>;

    /// The bank's page for a payment that requires action, for buyers without JavaScript; it
    /// leads back to the order's page.
    async fn bank_page(&self, viewer: &Viewer, id: PaymentId) -> AppResult<Option<String>>;
}
