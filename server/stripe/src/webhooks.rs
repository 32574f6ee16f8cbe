//! The signatures of Stripe's webhooks. What is done about a webhook is decided in `shop::payments`.

use model::Moment;
use secrecy::{ExposeSecret, SecretString};
use shop::payments::WebhookVerifier;
use stripe_webhook::{Webhook, WebhookError};

/// What Stripe signs its webhooks with.
#[derive(Debug, Clone)]
pub struct WebhookSecrets {
    /// Any of these: two while one is being replaced by the other.
    pub secrets: Vec<SecretString>,
    /// Whether webhooks tell of real money; the others are refused.
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
            // Signature and time are checked before the body is read. Only the id, the type, the mode
            // and the intent of an event are needed, so that one of a shape that the library does not
            // know is accepted too.
            matches!(verified, Ok(_) | Err(WebhookError::BadParse(_)))
        };
        self.secrets.iter().any(is_signed_with)
    }

    fn is_live(&self) -> bool {
        self.live
    }
}
