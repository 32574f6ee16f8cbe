//! The gateway as async-stripe calls it. The only file that knows async-stripe's types, besides
//! `list.rs`. Amounts are the shop's minor units on this side and Stripe's on the other: no
//! other code converts them.
//!
//! One attempt a call, with our stored key and a time limit of our own: async-stripe's own
//! retries would use keys that nobody has written down.

use async_trait::async_trait;
use model::{
    charges::{from_provider, to_provider},
    money::MinorUnits,
};
use platform::telemetry::spans;
use secrecy::{ExposeSecret, SecretString};
use shop::payments::{
    ProviderMode,
    gateway::{
        Confirm, Create, Disputed, DisputesOf, Gateway, GatewayError, GivenBack, GivingBack,
        Intent, IntentStatus, Intents, Refunded, Standing,
    },
};
use std::time::Duration;
use stripe::{Client, ClientBuilder, IdempotencyKey, RequestStrategy, StripeError, StripeRequest};
use stripe_core::{
    dispute::ListDispute,
    payment_intent::{
        CancelPaymentIntent, CapturePaymentIntent, ConfirmPaymentIntent, CreatePaymentIntent,
        ListPaymentIntent, RetrievePaymentIntent,
    },
    refund::{CreateRefund, ListRefund},
};
use stripe_shared::{
    Dispute, DisputeStatus, PaymentIntent, PaymentIntentAllowedPaymentMethodTypes,
    PaymentIntentCaptureMethod, PaymentIntentId, PaymentIntentStatus, Refund,
};
use stripe_types::{Currency, Expandable, RangeQueryTs};
use tracing::Instrument;

/// How long one call may take before its outcome counts as unknown.
const CALL_TIMEOUT: Duration = Duration::from_secs(8);
/// ConfirmationTokens are made by Stripe.js, which can then also bring the buyer to their bank.
const CONFIRMATION_TOKEN_PREFIX: &str = "ctoken_";
/// The most that Stripe lists at once.
const LIST_PAGE: i64 = 100;
const METADATA_REFUND: &str = "refund_id";

/// Stripe, or its double.
pub struct StripeGateway {
    client: Client,
    mode: ProviderMode,
}

impl StripeGateway {
    /// A client that sends `key` to `api_url`, or to Stripe if there is none.
    pub fn new(key: &SecretString, api_url: Option<&str>) -> Result<Self, StripeError> {
        let mut builder = ClientBuilder::new(key.expose_secret())
            .request_strategy(RequestStrategy::Once)
            .timeout(CALL_TIMEOUT);
        if let Some(url) = api_url {
            builder = builder.url(url.trim_end_matches('/'));
        }
        Ok(Self {
            client: builder.build()?,
            mode: ProviderMode::of_key(key, api_url.is_some()),
        })
    }

    /// As the client of the double inside this process.
    #[must_use]
    pub fn for_demo(self) -> Self {
        Self {
            mode: ProviderMode::Demo,
            ..self
        }
    }

    /// One attempt, under our key if it changes something, within our own time limit.
    async fn call<R>(&self, key: Option<&str>, request: R) -> Result<R::Output, GatewayError>
    where
        R: StripeRequest + Send + Sync,
        R::Output: miniserde::Deserialize + Send,
    {
        let strategy = match key {
            None => RequestStrategy::Once,
            Some(key) => {
                RequestStrategy::Idempotent(IdempotencyKey::new(key).map_err(|error| {
                    GatewayError::Invalid {
                        param: "idempotency_key".to_owned(),
                        message: error.to_string(),
                    }
                })?)
            }
        };
        let request = request.customize();
        let request = request.request_strategy(strategy).timeout(CALL_TIMEOUT);
        let asking = async {
            let answer = request.send(&self.client).await.map_err(classify);
            answer.inspect_err(|error| spans::failed(error))
        };
        let span = spans::stripe(std::any::type_name::<R>());
        asking.instrument(span).await
    }

    async fn send<R>(&self, key: Option<&str>, request: R) -> Result<Intent, GatewayError>
    where
        R: StripeRequest<Output = PaymentIntent> + Send + Sync,
    {
        self.call(key, request).await.map(|intent| read(&intent))
    }
}

#[async_trait]
impl Gateway for StripeGateway {
    fn mode(&self) -> ProviderMode {
        self.mode
    }

    async fn create(&self, key: &str, create: &Create) -> Result<Intent, GatewayError> {
        let currency: Currency = create
            .currency
            .to_lowercase()
            .parse()
            .unwrap_or_else(|never| match never {});
        let metadata = [
            ("order_id".to_owned(), create.order.to_string()),
            ("payment_id".to_owned(), create.payment.to_string()),
            ("attempt".to_owned(), create.attempt.to_string()),
        ];
        let amount = amount_for(&create.currency, create.amount_minor)?;
        let request = CreatePaymentIntent::new(amount, currency)
            .capture_method(PaymentIntentCaptureMethod::Manual)
            .allowed_payment_method_types(vec![PaymentIntentAllowedPaymentMethodTypes::Card])
            .confirm(true)
            .return_url(create.return_url.clone())
            .metadata(std::collections::HashMap::from(metadata));
        let request = if create.token.starts_with(CONFIRMATION_TOKEN_PREFIX) {
            request
                .confirmation_token(create.token.clone())
                .use_stripe_sdk(true)
        } else {
            request.payment_method(create.token.clone())
        };
        Box::pin(self.send(Some(key), request)).await
    }

    async fn confirm(
        &self,
        key: &str,
        intent: &str,
        confirm: &Confirm,
    ) -> Result<Intent, GatewayError> {
        let request = ConfirmPaymentIntent::new(PaymentIntentId::from(intent))
            .return_url(confirm.return_url.clone());
        let request = if confirm.token.starts_with(CONFIRMATION_TOKEN_PREFIX) {
            request
                .confirmation_token(confirm.token.clone())
                .use_stripe_sdk(true)
        } else {
            request.payment_method(confirm.token.clone())
        };
        Box::pin(self.send(Some(key), request)).await
    }

    async fn capture(&self, key: &str, intent: &str) -> Result<Intent, GatewayError> {
        self.send(
            Some(key),
            CapturePaymentIntent::new(PaymentIntentId::from(intent)),
        )
        .await
    }

    async fn cancel(&self, key: &str, intent: &str) -> Result<Intent, GatewayError> {
        self.send(
            Some(key),
            CancelPaymentIntent::new(PaymentIntentId::from(intent)),
        )
        .await
    }

    async fn retrieve(&self, intent: &str) -> Result<Intent, GatewayError> {
        self.send(
            None,
            RetrievePaymentIntent::new(PaymentIntentId::from(intent)),
        )
        .await
    }

    async fn list(&self, since: i64, after: Option<&str>) -> Result<Intents, GatewayError> {
        let created = RangeQueryTs::gte(since);
        let request = ListPaymentIntent::new().created(created).limit(LIST_PAGE);
        let request = match after {
            Some(after) => request.starting_after(after),
            None => request,
        };
        let page = self.call(None, request).await?;
        Ok(Intents {
            intents: page.data.iter().map(read).collect(),
            more: page.has_more,
        })
    }

    async fn refund(
        &self,
        key: &str,
        intent: &str,
        giving: &GivingBack,
    ) -> Result<Refunded, GatewayError> {
        let metadata = [
            (METADATA_REFUND.to_owned(), giving.refund.to_string()),
            ("payment_id".to_owned(), giving.payment.to_string()),
            ("order_id".to_owned(), giving.order.to_string()),
        ];
        let request = CreateRefund::new()
            .payment_intent(intent)
            .amount(amount_for(&giving.currency, giving.amount_minor)?)
            .metadata(std::collections::HashMap::from(metadata));
        let refund = self.call(Some(key), request).await?;
        Ok(read_refund(&refund))
    }

    async fn refunds(&self, intent: &str) -> Result<Vec<Refunded>, GatewayError> {
        let mut refunds: Vec<Refunded> = Vec::new();
        loop {
            let request = ListRefund::new().payment_intent(intent).limit(LIST_PAGE);
            let request = match refunds.last() {
                Some(last) => request.starting_after(last.id.as_str()),
                None => request,
            };
            let page = self.call(None, request).await?;
            refunds.extend(page.data.iter().map(read_refund));
            if !page.has_more {
                return Ok(refunds);
            }
        }
    }

    async fn disputes(&self, of: DisputesOf<'_>) -> Result<Vec<Disputed>, GatewayError> {
        let mut disputes: Vec<Disputed> = Vec::new();
        loop {
            let request = ListDispute::new().limit(LIST_PAGE);
            let request = match of {
                DisputesOf::Intent(intent) => request.payment_intent(intent),
                DisputesOf::Since(since) => request.created(RangeQueryTs::gte(since)),
            };
            let request = match disputes.last() {
                Some(last) => request.starting_after(last.id.as_str()),
                None => request,
            };
            let page = self.call(None, request).await?;
            disputes.extend(page.data.iter().map(read_dispute));
            if !page.has_more {
                return Ok(disputes);
            }
        }
    }
}

fn read_dispute(dispute: &Dispute) -> Disputed {
    let standing = match dispute.status {
        DisputeStatus::Won | DisputeStatus::WarningClosed | DisputeStatus::Prevented => {
            Standing::Won
        }
        DisputeStatus::Lost => Standing::Lost,
        // What Stripe adds later is not an end.
        _ => Standing::Open,
    };
    let intent = dispute.payment_intent.as_ref().map(|intent| match intent {
        Expandable::Id(id) => id.to_string(),
        Expandable::Object(intent) => intent.id.to_string(),
    });
    Disputed {
        id: dispute.id.to_string(),
        intent,
        standing,
        amount_minor: amount_from(&dispute.currency.to_string(), dispute.amount),
        currency: dispute.currency.to_string().to_ascii_uppercase(),
        reason: dispute.reason.clone(),
    }
}

/// An amount in Stripe's minor units.
fn amount_for(currency: &str, minor: MinorUnits) -> Result<i64, GatewayError> {
    to_provider(currency, minor.get()).ok_or_else(|| GatewayError::Invalid {
        param: "amount".to_owned(),
        message: format!("{minor} {currency} cannot be held in Stripe's minor units"),
    })
}

/// An amount of Stripe's minor units in the shop's.
fn amount_from(currency: &str, amount: i64) -> MinorUnits {
    MinorUnits::new(from_provider(currency, amount))
}

fn read_refund(refund: &Refund) -> Refunded {
    let status = match refund.status.as_deref() {
        Some("succeeded") => GivenBack::Succeeded,
        Some("failed" | "canceled") => GivenBack::Failed,
        // `pending`, `requires_action`, and what Stripe adds later: not an end.
        _ => GivenBack::Pending,
    };
    Refunded {
        id: refund.id.to_string(),
        status,
        amount_minor: amount_from(&refund.currency.to_string(), refund.amount),
        failure: refund.failure_reason.clone(),
        refund: refund
            .metadata
            .as_ref()
            .and_then(|metadata| metadata.get(METADATA_REFUND))
            .and_then(|id| id.parse().ok()),
    }
}

fn read(intent: &PaymentIntent) -> Intent {
    let status = match &intent.status {
        PaymentIntentStatus::Canceled => IntentStatus::Canceled,
        PaymentIntentStatus::RequiresAction => IntentStatus::RequiresAction,
        PaymentIntentStatus::RequiresCapture => IntentStatus::RequiresCapture,
        PaymentIntentStatus::RequiresConfirmation => IntentStatus::RequiresConfirmation,
        PaymentIntentStatus::RequiresPaymentMethod => IntentStatus::RequiresPaymentMethod,
        PaymentIntentStatus::Succeeded => IntentStatus::Succeeded,
        // What Stripe adds later is not an end: we wait and ask again.
        _ => IntentStatus::Processing,
    };
    let bank_url = intent
        .next_action
        .as_ref()
        .and_then(|next| next.redirect_to_url.as_ref())
        .and_then(|redirect| redirect.url.clone());
    let currency = intent.currency.to_string();
    Intent {
        id: intent.id.to_string(),
        status,
        amount_minor: amount_from(&currency, intent.amount),
        received_minor: amount_from(&currency, intent.amount_received),
        currency,
        client_secret: intent.client_secret.clone(),
        declined: intent
            .last_payment_error
            .as_ref()
            .and_then(|error| error.message.clone()),
        decline_code: intent.last_payment_error.as_ref().and_then(|error| {
            let code = error.code.as_ref().map(ToString::to_string);
            error.decline_code.clone().or(code)
        }),
        bank_url,
        payment: intent
            .metadata
            .get("payment_id")
            .and_then(|id| id.parse().ok()),
    }
}

fn classify(error: StripeError) -> GatewayError {
    let StripeError::Stripe(errors, status) = error else {
        return GatewayError::Unknown(error.to_string());
    };
    let message = errors.message.clone().unwrap_or_default();
    let code = errors
        .code
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    match status {
        402 => GatewayError::Declined {
            message,
            intent: errors
                .payment_intent
                .as_ref()
                .map(|intent| Box::new(read(intent))),
        },
        400 | 404 if code == "payment_intent_unexpected_state" => GatewayError::Moved,
        400 | 404 => GatewayError::Invalid {
            param: errors.param.clone().unwrap_or_default(),
            message,
        },
        401 | 403 => GatewayError::Credentials(message),
        500 => GatewayError::Failed(message),
        // 409, 429, what a gateway before Stripe answers; and what nobody has thought of.
        _ => GatewayError::Unknown(format!("status {status}: {message}")),
    }
}
