//! Implements the gateway with async-stripe, whose types only this file and `list.rs` use. Converts
//! amounts between the shop's minor units and Stripe's.
//!
//! Each call is tried once, with the stored key and our own time limit: async-stripe's retries would use
//! keys that are not stored.

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
        ConfirmIntent, CreateIntent, DisputeFilter, Gateway, GatewayError, Intent, IntentPage,
        IntentStatus, ProviderDispute, ProviderDisputeStatus, ProviderRefund, ProviderRefundStatus,
        RefundRequest,
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

/// After this time, the outcome of a call is unknown.
const CALL_TIMEOUT: Duration = Duration::from_secs(8);
/// ConfirmationTokens are created by Stripe.js, which can also handle the bank's confirmation.
const CONFIRMATION_TOKEN_PREFIX: &str = "ctoken_";
/// Stripe's maximum.
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

    /// Sets the mode of the double inside this process.
    #[must_use]
    pub fn for_demo(self) -> Self {
        Self {
            mode: ProviderMode::Demo,
            ..self
        }
    }

    /// Makes one attempt; with the idempotency key `key` if the call changes something.
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
        let call = async {
            let answer = request.send(&self.client).await.map_err(classify);
            answer.inspect_err(|error| spans::failed(error))
        };
        let span = spans::stripe(std::any::type_name::<R>());
        call.instrument(span).await
    }

    async fn send<R>(&self, key: Option<&str>, request: R) -> Result<Intent, GatewayError>
    where
        R: StripeRequest<Output = PaymentIntent> + Send + Sync,
    {
        self.call(key, request)
            .await
            .map(|intent| read_intent(&intent))
    }
}

#[async_trait]
impl Gateway for StripeGateway {
    fn mode(&self) -> ProviderMode {
        self.mode
    }

    async fn create(&self, key: &str, create: &CreateIntent) -> Result<Intent, GatewayError> {
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
        confirm: &ConfirmIntent,
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

    async fn list_intents(
        &self,
        since: i64,
        after: Option<&str>,
    ) -> Result<IntentPage, GatewayError> {
        let created = RangeQueryTs::gte(since);
        let request = ListPaymentIntent::new().created(created).limit(LIST_PAGE);
        let request = match after {
            Some(after) => request.starting_after(after),
            None => request,
        };
        let page = self.call(None, request).await?;
        Ok(IntentPage {
            intents: page.data.iter().map(read_intent).collect(),
            more: page.has_more,
        })
    }

    async fn refund(
        &self,
        key: &str,
        intent: &str,
        refund: &RefundRequest,
    ) -> Result<ProviderRefund, GatewayError> {
        let metadata = [
            (METADATA_REFUND.to_owned(), refund.refund.to_string()),
            ("payment_id".to_owned(), refund.payment.to_string()),
            ("order_id".to_owned(), refund.order.to_string()),
        ];
        let request = CreateRefund::new()
            .payment_intent(intent)
            .amount(amount_for(&refund.currency, refund.amount_minor)?)
            .metadata(std::collections::HashMap::from(metadata));
        let created = self.call(Some(key), request).await?;
        Ok(read_refund(&created))
    }

    async fn list_refunds(&self, intent: &str) -> Result<Vec<ProviderRefund>, GatewayError> {
        let mut refunds: Vec<ProviderRefund> = Vec::new();
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

    async fn list_disputes(
        &self,
        filter: DisputeFilter<'_>,
    ) -> Result<Vec<ProviderDispute>, GatewayError> {
        let mut disputes: Vec<ProviderDispute> = Vec::new();
        loop {
            let request = ListDispute::new().limit(LIST_PAGE);
            let request = match filter {
                DisputeFilter::Intent(intent) => request.payment_intent(intent),
                DisputeFilter::Since(since) => request.created(RangeQueryTs::gte(since)),
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

fn read_dispute(dispute: &Dispute) -> ProviderDispute {
    let status = match dispute.status {
        DisputeStatus::Won | DisputeStatus::WarningClosed | DisputeStatus::Prevented => {
            ProviderDisputeStatus::Won
        }
        DisputeStatus::Lost => ProviderDisputeStatus::Lost,
        // Unknown statuses count as open.
        _ => ProviderDisputeStatus::Open,
    };
    let intent = dispute.payment_intent.as_ref().map(|intent| match intent {
        Expandable::Id(id) => id.to_string(),
        Expandable::Object(intent) => intent.id.to_string(),
    });
    ProviderDispute {
        id: dispute.id.to_string(),
        intent,
        status,
        amount_minor: amount_from(&dispute.currency.to_string(), dispute.amount),
        currency: dispute.currency.to_string().to_ascii_uppercase(),
        reason: dispute.reason.clone(),
    }
}

/// Converts from the shop's minor units to Stripe's.
fn amount_for(currency: &str, minor: MinorUnits) -> Result<i64, GatewayError> {
    to_provider(currency, minor.get()).ok_or_else(|| GatewayError::Invalid {
        param: "amount".to_owned(),
        message: format!("{minor} {currency} cannot be expressed in Stripe's minor units"),
    })
}

/// Converts from Stripe's minor units to the shop's.
fn amount_from(currency: &str, amount: i64) -> MinorUnits {
    MinorUnits::new(from_provider(currency, amount))
}

fn read_refund(refund: &Refund) -> ProviderRefund {
    let status = match refund.status.as_deref() {
        Some("succeeded") => ProviderRefundStatus::Succeeded,
        Some("failed" | "canceled") => ProviderRefundStatus::Failed,
        // `pending`, `requires_action` and unknown statuses.
        _ => ProviderRefundStatus::Pending,
    };
    ProviderRefund {
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

fn read_intent(intent: &PaymentIntent) -> Intent {
    let status = match &intent.status {
        PaymentIntentStatus::Canceled => IntentStatus::Canceled,
        PaymentIntentStatus::RequiresAction => IntentStatus::RequiresAction,
        PaymentIntentStatus::RequiresCapture => IntentStatus::RequiresCapture,
        PaymentIntentStatus::RequiresConfirmation => IntentStatus::RequiresConfirmation,
        PaymentIntentStatus::RequiresPaymentMethod => IntentStatus::RequiresPaymentMethod,
        PaymentIntentStatus::Succeeded => IntentStatus::Succeeded,
        // Unknown statuses: ask again later.
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
                .map(|intent| Box::new(read_intent(intent))),
        },
        400 | 404 if code == "payment_intent_unexpected_state" => GatewayError::Moved,
        400 | 404 => GatewayError::Invalid {
            param: errors.param.clone().unwrap_or_default(),
            message,
        },
        401 | 403 => GatewayError::Credentials(message),
        500 => GatewayError::Failed(message),
        // 409, 429, answers of a proxy, and anything else.
        _ => GatewayError::Unknown(format!("status {status}: {message}")),
    }
}
