//! The payment provider as a parameter: the calls that we make, and what they can answer.
//!
//! Nothing here knows how a call travels; `stripe.rs` does.

use super::ProviderMode;
use async_trait::async_trait;
use model::{
    ids::{OrderId, PaymentId, RefundId},
    money::MinorUnits,
};
use platform::fault::Fault;
use serde::{Deserialize, Serialize};

/// Where a PaymentIntent stands at Stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntentStatus {
    /// No card, or the last one was refused.
    RequiresPaymentMethod,
    /// A card is there, and nobody has confirmed.
    RequiresConfirmation,
    /// The buyer's bank wants to hear from the buyer.
    RequiresAction,
    /// Stripe is at it.
    Processing,
    /// Authorised: the money is reserved on the card and can be taken.
    RequiresCapture,
    /// Given up; nothing can be taken any more.
    Canceled,
    /// Taken.
    Succeeded,
}

/// What Stripe says of a PaymentIntent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// `pi_…`
    pub id: String,
    /// Where it stands.
    pub status: IntentStatus,
    /// What it is for.
    pub amount_minor: MinorUnits,
    /// What was taken.
    pub received_minor: MinorUnits,
    /// ISO code, small letters as Stripe writes it.
    pub currency: String,
    /// What the buyer's browser needs to go on.
    pub client_secret: Option<String>,
    /// Why the last card was refused, for the buyer to read.
    pub declined: Option<String>,
    /// Why, in the code of its bank or of Stripe: `insufficient_funds`, for one.
    pub decline_code: Option<String>,
    /// Where the buyer's bank wants to see the buyer.
    pub bank_url: Option<String>,
    /// The payment that we made it for, from its metadata.
    pub payment: Option<PaymentId>,
}

/// A new PaymentIntent, confirmed in the same call. Stored before it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Create {
    pub amount_minor: MinorUnits,
    /// ISO code.
    pub currency: String,
    /// What the buyer pays with.
    pub token: String,
    /// For the metadata.
    pub order: OrderId,
    /// For the metadata.
    pub payment: PaymentId,
    /// For the metadata.
    pub attempt: i64,
    /// Where the bank's page leads back to.
    pub return_url: String,
}

/// Another card for the same PaymentIntent. Stored before it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirm {
    /// What the buyer pays with.
    pub token: String,
    /// Where the bank's page leads back to.
    pub return_url: String,
}

/// Money to be given back. Stored before it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivingBack {
    /// For the metadata.
    pub refund: RefundId,
    /// For the metadata.
    pub payment: PaymentId,
    /// For the metadata.
    pub order: OrderId,
    pub amount_minor: MinorUnits,
    /// ISO code. Calls that were stored before it was kept have none, and Stripe then counts as the
    /// shop does.
    #[serde(default)]
    pub currency: String,
}

/// How far a refund has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenBack {
    /// Under way.
    Pending,
    /// As far as Stripe knows, the buyer has it.
    Succeeded,
    /// It came back, or never went.
    Failed,
}

/// What Stripe says of a refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refunded {
    /// `re_…`
    pub id: String,
    /// How far it has come.
    pub status: GivenBack,
    pub amount_minor: MinorUnits,
    /// Why it failed, in Stripe's word for it.
    pub failure: Option<String>,
    /// The refund that we made it for, from its metadata; none if we did not make it.
    pub refund: Option<RefundId>,
}

/// How a dispute stands for the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum Standing {
    /// The cardholder's bank has not decided yet.
    Open,
    /// The shop keeps the money.
    Won,
    /// The cardholder has it back.
    Lost,
}

model::text_columns!(Standing);

/// What Stripe says of a dispute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disputed {
    /// `dp_…`
    pub id: String,
    /// The intent whose payment is disputed.
    pub intent: Option<String>,
    /// How it stands.
    pub standing: Standing,
    pub amount_minor: MinorUnits,
    /// Of this currency: its ISO code, in capitals.
    pub currency: String,
    /// Why, in Stripe's word for it.
    pub reason: String,
}

/// Which disputes.
#[derive(Debug, Clone, Copy)]
pub enum DisputesOf<'a> {
    /// Of this intent.
    Intent(&'a str),
    /// Opened at or after this moment, in seconds since 1970.
    Since(i64),
}

/// A page of a list of intents, newest first.
#[derive(Debug)]
pub struct Intents {
    /// This page's.
    pub intents: Vec<Intent>,
    /// There are older ones.
    pub more: bool,
}

/// Why a call did not do what it asked.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The card was refused. Definitive; the intent says where it stands now.
    #[error("the card was declined: {message}")]
    Declined {
        /// For the buyer to read.
        message: String,
        /// Where the intent stands now, if the call made or touched one.
        intent: Option<Box<Intent>>,
    },
    /// The intent has moved on: ask for its present state.
    #[error("the intent is in another state")]
    Moved,
    /// What we sent is wrong, and will be however often we send it.
    #[error("refused as invalid ({param}): {message}")]
    Invalid {
        /// Stripe's name of the parameter; empty if it names none.
        param: String,
        /// Stripe's words; not for the buyer.
        message: String,
    },
    /// Our keys are wrong.
    #[error("our credentials were refused: {0}")]
    Credentials(String),
    /// It is over and failed on their side, as every repetition under the same key will be told;
    /// whether anything came of it all the same, a look shows.
    #[error("failed at the provider: {0}")]
    Failed(String),
    /// Nobody knows whether it happened, or still does: try again with the same key, or ask.
    #[error("no certain answer: {0}")]
    Unknown(String),
}

impl From<GatewayError> for Fault {
    fn from(error: GatewayError) -> Self {
        Self::unexpected("the payment provider gave no answer", error)
    }
}

/// The payment provider.
#[async_trait]
pub trait Gateway: Send + Sync {
    /// Which provider it calls, and in which mode.
    fn mode(&self) -> ProviderMode;

    /// Makes and confirms an intent that is captured by hand.
    async fn create(&self, key: &str, create: &Create) -> Result<Intent, GatewayError>;

    /// Confirms an intent with another card.
    async fn confirm(
        &self,
        key: &str,
        intent: &str,
        confirm: &Confirm,
    ) -> Result<Intent, GatewayError>;

    /// Takes the money.
    async fn capture(&self, key: &str, intent: &str) -> Result<Intent, GatewayError>;

    /// Gives the money back before it is taken.
    async fn cancel(&self, key: &str, intent: &str) -> Result<Intent, GatewayError>;

    /// Asks where it stands.
    async fn retrieve(&self, intent: &str) -> Result<Intent, GatewayError>;

    /// The intents made at or after `since` (seconds since 1970), newest first, older than
    /// the intent `after` if there is one.
    async fn list(&self, since: i64, after: Option<&str>) -> Result<Intents, GatewayError>;

    /// Gives back what was taken, or a part of it.
    async fn refund(
        &self,
        key: &str,
        intent: &str,
        giving: &GivingBack,
    ) -> Result<Refunded, GatewayError>;

    /// All refunds of an intent, whoever made them.
    async fn refunds(&self, intent: &str) -> Result<Vec<Refunded>, GatewayError>;

    /// Disputes, the newest first.
    async fn disputes(&self, of: DisputesOf<'_>) -> Result<Vec<Disputed>, GatewayError>;
}
