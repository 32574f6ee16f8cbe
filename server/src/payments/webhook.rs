//! Webhooks: verified, stored once, and only then answered. What they say is not believed:
//! `engine.rs` asks Stripe for the present state.

use super::{
    Engine,
    store::{self, InboxEvent},
};
use crate::{
    clock::SharedClock,
    crash,
    db::Db,
    fault::{Fault, FaultResult},
    rest::StripeWebhooks,
};
use app::error::AppError;
use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::sync::Arc;
use stripe_webhook::{Webhook, WebhookError};

/// Receives Stripe's webhooks.
#[derive(Clone)]
pub struct Webhooks {
    db: Db,
    clock: SharedClock,
    engine: Arc<Engine>,
    secret: SecretString,
}

impl Webhooks {
    /// A receiver of webhooks signed with `secret`.
    pub fn new(db: Db, clock: SharedClock, engine: Arc<Engine>, secret: SecretString) -> Self {
        Self {
            db,
            clock,
            engine,
            secret,
        }
    }

    /// Takes one delivery in. Once this returns it is stored, and acted on soon after.
    ///
    /// Errors: `Invalid` for a signature that is wrong or older than 300 seconds; nothing is
    /// stored then.
    pub async fn take_in(&self, signature: &str, payload: &str) -> FaultResult<()> {
        let now = self.clock.now();
        let verified = Webhook::construct_event_with_timestamp(
            payload,
            signature,
            self.secret.expose_secret(),
            now.as_second(),
        );
        match verified {
            // Signature and time are right, only the library doesn't know this shape of event.
            // Nothing but its id, type and intent is needed.
            Ok(_) | Err(WebhookError::BadParse(_)) => {}
            Err(error) => {
                tracing::warn!(%error, "a webhook was refused");
                let message = "The signature is missing, wrong, or too old.";
                return Err(AppError::invalid("Stripe-Signature", message).into());
            }
        }
        let Some(event) = read(payload) else {
            return Err(AppError::invalid("", "A signed body that is no event.").into());
        };
        let now = now.as_microsecond();
        let fresh = self
            .db
            .write(move |conn| {
                Box::pin(
                    async move { Ok::<_, Fault>(store::inbox_insert(conn, &event, now).await?) },
                )
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
        Ok(self.take_in(signature, payload).await?)
    }
}

fn read(payload: &str) -> Option<InboxEvent> {
    let event: Value = serde_json::from_str(payload).ok()?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let object = &event["data"]["object"];
    let intent = match object["object"].as_str() {
        Some("payment_intent") => text(&object["id"]),
        // Charges, refunds and disputes name the intent that they belong to.
        _ => text(&object["payment_intent"]),
    };
    Some(InboxEvent {
        id: text(&event["id"])?,
        kind: text(&event["type"])?,
        stripe_id: intent,
        payload: payload.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn the_intent_is_found_whatever_the_event_is_about() {
        let intent = r#"{"id":"evt_1","type":"payment_intent.succeeded",
            "data":{"object":{"object":"payment_intent","id":"pi_1"}}}"#;
        assert_eq!(read(intent).unwrap().stripe_id.as_deref(), Some("pi_1"));
        let charge = r#"{"id":"evt_2","type":"charge.refunded",
            "data":{"object":{"object":"charge","id":"ch_1","payment_intent":"pi_2"}}}"#;
        assert_eq!(read(charge).unwrap().stripe_id.as_deref(), Some("pi_2"));
        let other = r#"{"id":"evt_3","type":"balance.available","data":{"object":{}}}"#;
        assert_eq!(read(other).unwrap().stripe_id, None);
        assert!(read("{}").is_none());
        assert!(read("not json").is_none());
    }
}
