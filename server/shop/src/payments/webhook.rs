//! Receives Stripe's webhooks: each is verified and stored once before it is answered. Does not process
//! them: `engine.rs` asks Stripe for the present state.

use super::{
    Engine,
    inbox::{self, InboxEvent},
    trials,
};
use async_trait::async_trait;
use model::{Moment, error::AppError};
use platform::{
    clock::SharedClock,
    crash,
    db::Db,
    fault::{Fault, FaultResult},
};
use serde_json::Value;
use std::sync::Arc;

/// The port that the REST route of Stripe's webhooks calls.
#[async_trait]
pub trait StripeWebhooks: Send + Sync {
    /// Stores one delivery.
    ///
    /// Errors: `Invalid` for a signature that is wrong or older than 300 seconds, and for events of the
    /// other mode; nothing is stored then.
    async fn receive(&self, signature: &str, payload: &str) -> Result<(), AppError>;
}

/// Receives Stripe's webhooks.
#[derive(Clone)]
pub struct Webhooks {
    db: Db,
    clock: SharedClock,
    engine: Arc<Engine>,
    verifier: Arc<dyn WebhookVerifier>,
}

/// Verifies that a webhook comes from Stripe.
pub trait WebhookVerifier: Send + Sync {
    /// Whether Stripe has signed `payload` with `signature`, at most 300 seconds before or after `now`.
    fn is_authentic(&self, payload: &str, signature: &str, now: Moment) -> bool;

    /// Whether live events are accepted, and test events refused; otherwise the reverse.
    fn is_live(&self) -> bool;
}

impl Webhooks {
    pub fn new(
        db: Db,
        clock: SharedClock,
        engine: Arc<Engine>,
        verifier: Arc<dyn WebhookVerifier>,
    ) -> Self {
        Self {
            db,
            clock,
            engine,
            verifier,
        }
    }

    /// Deletes old processed webhooks and expired counters of card trials. Returns the number of rows deleted.
    pub async fn delete_old(&self) -> Result<u64, sqlx::Error> {
        let now = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let webhooks = inbox::delete_old(conn, now).await?;
                    Ok(webhooks + trials::delete_old(conn, now).await?)
                })
            })
            .await
    }

    pub(crate) async fn receive(&self, signature: &str, payload: &str) -> FaultResult<()> {
        let now = self.clock.now();
        if !self.verifier.is_authentic(payload, signature, now) {
            tracing::warn!("refused a webhook: its signature is missing, wrong or too old");
            let message = "The signature is missing, wrong, or too old.";
            return Err(AppError::invalid("Stripe-Signature", message).into());
        }
        let Some((event, live)) = read(payload) else {
            return Err(AppError::invalid("", "A signed body that is no event.").into());
        };
        if live != self.verifier.is_live() {
            tracing::warn!(
                event = event.id,
                live,
                "refused a webhook of the other mode"
            );
            let message = if live {
                "This shop takes test events only."
            } else {
                "This shop takes live events only."
            };
            return Err(AppError::invalid("livemode", message).into());
        }
        let fresh = self
            .db
            .write(move |conn| {
                Box::pin(async move { Ok::<_, Fault>(inbox::insert(conn, &event, now).await?) })
            })
            .await?;
        crash::point("webhook_stored").await;
        if fresh {
            self.engine.wake();
        }
        Ok(())
    }
}

#[async_trait]
impl StripeWebhooks for Webhooks {
    async fn receive(&self, signature: &str, payload: &str) -> Result<(), AppError> {
        Ok(self.receive(signature, payload).await?)
    }
}

/// Parses an event. The flag is `livemode`.
fn read(payload: &str) -> Option<(InboxEvent, bool)> {
    let event: Value = serde_json::from_str(payload).ok()?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let object = &event["data"]["object"];
    let intent = match object["object"].as_str() {
        Some("payment_intent") => text(&object["id"]),
        // Charges, refunds and disputes name their intent.
        _ => text(&object["payment_intent"]),
    };
    let stored = InboxEvent {
        id: text(&event["id"])?,
        kind: text(&event["type"])?,
        stripe_id: intent,
        payload: payload.to_owned(),
    };
    Some((stored, event["livemode"].as_bool().unwrap_or(false)))
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn the_intent_is_found_whatever_the_event_is_about() {
        let intent = r#"{"id":"evt_1","type":"payment_intent.succeeded",
            "data":{"object":{"object":"payment_intent","id":"pi_1"}}}"#;
        let (stored, live) = read(intent).unwrap();
        assert_eq!((stored.stripe_id.as_deref(), live), (Some("pi_1"), false));
        let charge = r#"{"id":"evt_2","type":"charge.refunded",
            "data":{"object":{"object":"charge","id":"ch_1","payment_intent":"pi_2"}}}"#;
        assert_eq!(read(charge).unwrap().0.stripe_id.as_deref(), Some("pi_2"));
        let other =
            r#"{"id":"evt_3","type":"balance.available","livemode":true,"data":{"object":{}}}"#;
        let (stored, live) = read(other).unwrap();
        assert_eq!((stored.stripe_id, live), (None, true));
        assert!(read("{}").is_none());
        assert!(read("not json").is_none());
    }
}
