//! Verifies the signatures of Stripe's webhooks. `shop::payments` processes them.

use model::Moment;
use secrecy::{ExposeSecret, SecretString};
use shop::payments::WebhookVerifier;
use stripe_webhook::{Webhook, WebhookError};

/// The signing secrets of Stripe's webhooks.
#[derive(Debug, Clone)]
pub struct WebhookSecrets {
    /// A signature by any of them is valid; two during a rotation.
    pub secrets: Vec<SecretString>,
    /// Whether live events are accepted instead of test events.
    pub live: bool,
}

impl WebhookVerifier for WebhookSecrets {
    fn is_authentic(&self, payload: &str, signature: &str, now: Moment) -> bool {
        let is_signed_with = |secret: &SecretString| {
            let verified = Webhook::construct_event_with_timestamp(
                payload,
                signature,
                secret.expose_secret(),
                now.seconds(),
            );
            // Signature and time are checked before the body is parsed. A body that the library cannot
            // parse is accepted, because only the event's id, type, mode and intent are needed.
            matches!(verified, Ok(_) | Err(WebhookError::BadParse(_)))
        };
        self.secrets.iter().any(is_signed_with)
    }

    fn is_live(&self) -> bool {
        self.live
    }
}
