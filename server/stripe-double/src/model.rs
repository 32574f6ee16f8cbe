//! Stripe's objects: their stored fields and their JSON.

use crate::cards::{Outcome, RefundPath, Refusal};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The status of a PaymentIntent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    RequiresCapture,
    Canceled,
    Succeeded,
}

/// A PaymentIntent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Intent {
    pub id: String,
    pub secret: String,
    pub status: Status,
    pub amount: i64,
    pub currency: String,
    pub amount_received: i64,
    pub amount_refunded: i64,
    pub capture_by_hand: bool,
    pub metadata: BTreeMap<String, String>,
    pub description: Option<String>,
    pub created: i64,
    pub canceled_at: Option<i64>,
    pub cancellation_reason: Option<String>,
    pub payment_method: Option<String>,
    pub latest_charge: Option<String>,
    pub return_url: Option<String>,
    /// Whether Stripe.js opens the bank's page, instead of a redirect.
    pub by_script: bool,
    /// The bank's decision if the buyer confirms.
    pub pending: Option<Outcome>,
    pub refused: Option<Refusal>,
    /// How refunds to its card proceed.
    #[serde(default)]
    pub refund_path: RefundPath,
}

impl Intent {
    /// `pi_…_secret_…`
    pub(crate) fn client_secret(&self) -> String {
        format!("{}_secret_{}", self.id, self.secret)
    }

    /// Stripe's JSON of its charge, which Stagedoor receives only in events.
    pub(crate) fn charge_json(&self) -> Value {
        json!({
            "id": self.latest_charge, "object": "charge", "amount": self.amount,
            "amount_captured": self.amount_received, "amount_refunded": self.amount_refunded,
            "billing_details": {"address": null, "email": null, "name": null, "phone": null},
            "captured": self.status == Status::Succeeded, "created": self.created,
            "currency": self.currency, "disputed": false, "livemode": false,
            "metadata": self.metadata, "paid": true, "payment_intent": self.id,
            "payment_method": self.payment_method,
            "refunded": self.amount_received > 0 && self.amount_refunded == self.amount_received,
            "status": "succeeded",
        })
    }

    /// Stripe's JSON. `browser_url` is the base of the bank's page.
    pub(crate) fn json(&self, browser_url: &str) -> Value {
        let capturable = if self.status == Status::RequiresCapture {
            self.amount
        } else {
            0
        };
        json!({
            "id": self.id,
            "object": "payment_intent",
            "amount": self.amount,
            "amount_capturable": capturable,
            "amount_received": self.amount_received,
            "allowed_payment_method_types": ["card"],
            "canceled_at": self.canceled_at,
            "cancellation_reason": self.cancellation_reason,
            "capture_method": if self.capture_by_hand { "manual" } else { "automatic" },
            "client_secret": self.client_secret(),
            "confirmation_method": "automatic",
            "created": self.created,
            "currency": self.currency,
            "customer": null,
            "description": self.description,
            "last_payment_error": self.refused.as_ref().map(|refused| card_error(refused, None)),
            "latest_charge": self.latest_charge,
            "livemode": false,
            "metadata": self.metadata,
            "next_action": self.next_action(browser_url),
            "payment_method": self.payment_method,
            "payment_method_types": ["card"],
            "receipt_email": null,
            "status": self.status,
        })
    }

    fn next_action(&self, browser_url: &str) -> Option<Value> {
        if self.status != Status::RequiresAction {
            return None;
        }
        let url = format!(
            "{browser_url}/bank/{}?client_secret={}",
            self.id,
            self.client_secret()
        );
        Some(if self.by_script {
            json!({"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect", "stripe_js": url}})
        } else {
            json!({"type": "redirect_to_url", "redirect_to_url": {"url": url, "return_url": self.return_url}})
        })
    }
}

/// Stripe's JSON of a declined card.
pub(crate) fn card_error(refused: &Refusal, intent: Option<Value>) -> Value {
    let mut error = json!({
        "type": "card_error",
        "code": refused.code,
        "message": refused.message,
        "doc_url": format!("https://stripe.com/docs/error-codes/{}", refused.code.replace('_', "-")),
    });
    if let Some(reason) = &refused.decline_code {
        error["decline_code"] = json!(reason);
    }
    if let Some(intent) = intent {
        error["payment_intent"] = intent;
    }
    error
}

/// A PaymentMethod, or a ConfirmationToken that contains one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Card {
    pub id: String,
    pub outcome: Outcome,
    pub last4: String,
    pub created: i64,
    /// A ConfirmationToken can be used for one intent.
    pub used_by: Option<String>,
    /// How refunds to it proceed.
    #[serde(default)]
    pub refund_path: RefundPath,
}

impl Card {
    pub(crate) fn is_confirmation_token(&self) -> bool {
        self.id.starts_with("ctoken_")
    }

    /// Stripe's JSON.
    pub(crate) fn json(&self) -> Value {
        let card = json!({"brand": "visa", "last4": self.last4, "exp_month": 12, "exp_year": 2040});
        if self.is_confirmation_token() {
            json!({
                "id": self.id, "object": "confirmation_token", "created": self.created,
                "livemode": false, "payment_intent": self.used_by,
                "payment_method_preview": {"type": "card", "card": card},
            })
        } else {
            json!({
                "id": self.id, "object": "payment_method", "created": self.created,
                "livemode": false, "metadata": {}, "type": "card", "card": card,
                "billing_details": {"address": null, "email": null, "name": null, "phone": null},
            })
        }
    }
}

/// The status of a refund.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RefundStatus {
    Pending,
    // For files of older versions without a status.
    #[default]
    Succeeded,
    Failed,
    Canceled,
}

/// The scheduled end of a refund.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Ending {
    pub at: i64,
    pub succeeds: bool,
}

/// A refund.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Refund {
    pub id: String,
    pub intent: String,
    pub charge: Option<String>,
    pub amount: i64,
    pub currency: String,
    pub created: i64,
    pub metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub status: RefundStatus,
    #[serde(default)]
    pub failure_reason: Option<String>,
    /// Its scheduled end, if any.
    #[serde(default)]
    pub ending: Option<Ending>,
}

impl Refund {
    /// Whether it reduces the remaining amount of the payment.
    pub(crate) fn counts(&self) -> bool {
        matches!(self.status, RefundStatus::Pending | RefundStatus::Succeeded)
    }

    /// Stripe's JSON.
    pub(crate) fn json(&self) -> Value {
        let pending = self.status == RefundStatus::Pending;
        let mut shape = json!({
            "id": self.id, "object": "refund", "amount": self.amount,
            "balance_transaction": null, "charge": self.charge, "created": self.created,
            "currency": self.currency, "metadata": self.metadata, "payment_intent": self.intent,
            "pending_reason": pending.then_some("processing"), "reason": self.reason,
            "receipt_number": null, "source_transfer_reversal": null, "status": self.status,
            "transfer_reversal": null,
        });
        // Stripe omits it unless the refund failed.
        if let Some(reason) = &self.failure_reason {
            shape["failure_reason"] = json!(reason);
        }
        shape
    }
}

/// The status of a dispute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisputeStatus {
    /// The shop has not responded.
    NeedsResponse,
    /// Being decided by the bank.
    UnderReview,
    /// The shop keeps the money.
    Won,
    /// The cardholder gets the money back.
    Lost,
}

/// A dispute.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Dispute {
    pub id: String,
    pub intent: String,
    pub charge: Option<String>,
    pub amount: i64,
    pub currency: String,
    pub created: i64,
    pub reason: String,
    pub status: DisputeStatus,
}

impl Dispute {
    /// Whether it is not decided.
    pub(crate) fn is_open(&self) -> bool {
        matches!(
            self.status,
            DisputeStatus::NeedsResponse | DisputeStatus::UnderReview
        )
    }

    /// Stripe's JSON.
    pub(crate) fn json(&self) -> Value {
        json!({
            "id": self.id, "object": "dispute", "amount": self.amount, "balance_transactions": [],
            "charge": self.charge, "created": self.created, "currency": self.currency,
            "enhanced_eligibility_types": [],
            "evidence": {"enhanced_evidence": {}},
            "evidence_details": {"due_by": null, "enhanced_eligibility": {}, "has_evidence": false,
                "past_due": false, "submission_count": 0},
            "is_charge_refundable": false, "livemode": false, "metadata": {},
            "payment_intent": self.intent, "reason": self.reason, "status": self.status,
        })
    }
}

/// The stored answer of an idempotency key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Answered {
    pub key: String,
    /// Call and parameters.
    pub request: String,
    pub status: u16,
    pub body: Value,
}

/// A webhook; only its id is kept once it is accepted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Event {
    pub id: String,
    pub payload: String,
    pub taken: bool,
}

/// The newest version of one object, as stored in the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", content = "is", rename_all = "snake_case")]
pub(crate) enum Record {
    Intent(Box<Intent>),
    Card(Card),
    Refund(Refund),
    Dispute(Dispute),
    Answered(Answered),
    Event(Event),
}

/// The amounts of one payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JournalLine {
    /// `pi_…`
    pub id: String,
    /// As Stripe names it.
    pub status: String,
    /// In Stripe's minor units, as are the next two.
    pub amount: i64,
    /// Captured amount.
    pub amount_received: i64,
    /// Amount of all refunds that have not failed.
    pub amount_refunded: i64,
    /// Lower-case ISO code.
    pub currency: String,
    /// As set at the intent's creation.
    pub metadata: BTreeMap<String, String>,
}
