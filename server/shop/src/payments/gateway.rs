//! The interface of the payment provider: calls, answers and errors. The crate `stripe_gateway`
//! implements it.

use super::ProviderMode;
use async_trait::async_trait;
use model::{
    ids::{OrderId, PaymentId, RefundId},
    money::MinorUnits,
};
use platform::fault::Fault;
use serde::{Deserialize, Serialize};

/// The status of a PaymentIntent at Stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntentStatus {
    /// No card, or the last one was declined.
    RequiresPaymentMethod,
    /// Has a card, not confirmed.
    RequiresConfirmation,
    /// The buyer must confirm with their bank.
    RequiresAction,
    Processing,
    /// Authorised.
    RequiresCapture,
    Canceled,
    /// Captured.
    Succeeded,
}

/// A PaymentIntent as Stripe reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// `pi_…`
    pub id: String,
    pub status: IntentStatus,
    pub amount_minor: MinorUnits,
    /// Captured amount.
    pub received_minor: MinorUnits,
    /// Lower-case ISO code.
    pub currency: String,
    /// For Stripe.js in the buyer's browser.
    pub client_secret: Option<String>,
    /// Message to the buyer about the last declined card.
    pub declined: Option<String>,
    /// The bank's or Stripe's code for it, such as `insufficient_funds`.
    pub decline_code: Option<String>,
    /// The bank's page on which the buyer confirms.
    pub bank_url: Option<String>,
    /// Our payment, from the metadata.
    pub payment: Option<PaymentId>,
}

/// Parameters of a new PaymentIntent, confirmed in the same call. Stored as JSON in the effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateIntent {
    pub amount_minor: MinorUnits,
    /// ISO code.
    pub currency: String,
    /// ConfirmationToken or PaymentMethod.
    pub token: String,
    /// For the metadata, as are the next two.
    pub order: OrderId,
    pub payment: PaymentId,
    pub attempt: i64,
    /// Where the bank's page sends the buyer afterwards.
    pub return_url: String,
}

/// Parameters that confirm a PaymentIntent with another card. Stored as JSON in the effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmIntent {
    /// ConfirmationToken or PaymentMethod.
    pub token: String,
    /// Where the bank's page sends the buyer afterwards.
    pub return_url: String,
}

/// Parameters of a new refund. Stored as JSON in the effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundRequest {
    /// For the metadata, as are the next two.
    pub refund: RefundId,
    pub payment: PaymentId,
    pub order: OrderId,
    pub amount_minor: MinorUnits,
    /// ISO code; empty in effects of older versions, whose amounts need no conversion.
    #[serde(default)]
    pub currency: String,
}

/// The status of a refund at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderRefundStatus {
    Pending,
    /// May still fail later.
    Succeeded,
    Failed,
}

/// A refund as Stripe reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderRefund {
    /// `re_…`
    pub id: String,
    pub status: ProviderRefundStatus,
    pub amount_minor: MinorUnits,
    /// Stripe's code for the reason of a failure.
    pub failure: Option<String>,
    /// Our refund, from the metadata; none if it was not made by the shop.
    pub refund: Option<RefundId>,
}

/// The status of a dispute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum ProviderDisputeStatus {
    /// Not decided.
    Open,
    /// The shop keeps the money.
    Won,
    /// The cardholder gets the money back.
    Lost,
}

model::text_columns!(ProviderDisputeStatus);

/// A dispute as Stripe reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderDispute {
    /// `dp_…`
    pub id: String,
    /// The disputed intent.
    pub intent: Option<String>,
    pub status: ProviderDisputeStatus,
    pub amount_minor: MinorUnits,
    /// Upper-case ISO code.
    pub currency: String,
    /// Stripe's code.
    pub reason: String,
}

/// Selects disputes.
#[derive(Debug, Clone, Copy)]
pub enum DisputeFilter<'a> {
    Intent(&'a str),
    /// Opened at or after this time, in seconds since 1970.
    Since(i64),
}

/// A page of a list of intents, newest first.
#[derive(Debug)]
pub struct IntentPage {
    pub intents: Vec<Intent>,
    /// Whether there are older ones.
    pub more: bool,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The card was declined. Definitive.
    #[error("the card was declined: {message}")]
    Declined {
        /// For the buyer.
        message: String,
        /// The present state of the intent, if there is one.
        intent: Option<Box<Intent>>,
    },
    /// The intent's state does not allow the call: retrieve its present state.
    #[error("the intent is in another state")]
    Moved,
    /// The parameters are wrong; repeating the call is useless.
    #[error("refused as invalid ({param}): {message}")]
    Invalid {
        /// Stripe's name of the parameter; may be empty.
        param: String,
        /// Stripe's message; not for the buyer.
        message: String,
    },
    /// Stripe rejects our API key.
    #[error("our credentials were refused: {0}")]
    Credentials(String),
    /// The call ended with an error of the provider, which is replayed for the same key. It may still
    /// have had an effect: look it up.
    #[error("failed at the provider: {0}")]
    Failed(String),
    /// It is unknown whether the call has, or will have, an effect: repeat it with the same key, or look
    /// it up.
    #[error("no certain answer: {0}")]
    Unknown(String),
}

impl From<GatewayError> for Fault {
    fn from(error: GatewayError) -> Self {
        Self::unexpected("the payment provider did not answer", error)
    }
}

/// The payment provider. `key` is the idempotency key, `intent` the provider's id of an intent.
#[async_trait]
pub trait Gateway: Send + Sync {
    fn mode(&self) -> ProviderMode;

    /// Creates and confirms an intent with manual capture.
    async fn create(&self, key: &str, create: &CreateIntent) -> Result<Intent, GatewayError>;

    /// Confirms an intent with another card.
    async fn confirm(
        &self,
        key: &str,
        intent: &str,
        confirm: &ConfirmIntent,
    ) -> Result<Intent, GatewayError>;

    /// Captures an authorised intent.
    async fn capture(&self, key: &str, intent: &str) -> Result<Intent, GatewayError>;

    /// Cancels an uncaptured intent.
    async fn cancel(&self, key: &str, intent: &str) -> Result<Intent, GatewayError>;

    async fn retrieve(&self, intent: &str) -> Result<Intent, GatewayError>;

    /// Lists one page of intents created at or after `since` (seconds since 1970), newest first, starting
    /// after the intent `after` if given.
    async fn list_intents(
        &self,
        since: i64,
        after: Option<&str>,
    ) -> Result<IntentPage, GatewayError>;

    /// Refunds a captured intent in full or in part.
    async fn refund(
        &self,
        key: &str,
        intent: &str,
        refund: &RefundRequest,
    ) -> Result<ProviderRefund, GatewayError>;

    /// Lists all refunds of an intent, newest first, including those made in the provider's dashboard.
    async fn list_refunds(&self, intent: &str) -> Result<Vec<ProviderRefund>, GatewayError>;

    /// Lists disputes, newest first.
    async fn list_disputes(
        &self,
        filter: DisputeFilter<'_>,
    ) -> Result<Vec<ProviderDispute>, GatewayError>;
}
