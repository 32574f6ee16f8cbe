//! A choice of tickets that is not reserved yet, passed in URLs while the visitor signs in or enters their
//! details. Nothing is held; availability and price are checked when it is reserved.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use model::orders::Reserve;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    pub reserve: Reserve,
    /// Idempotency key of the reservation.
    pub attempt: String,
}

impl Choice {
    /// Base64url, for URLs and forms.
    pub fn encode(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        BASE64.encode(json)
    }

    /// Reverses [`Choice::encode`]. `None` if the text is not valid.
    pub fn decode(text: &str) -> Option<Self> {
        let json = BASE64.decode(text).ok()?;
        serde_json::from_slice(&json).ok()
    }

    /// URL of the checkout page with this choice.
    pub fn checkout_url(&self) -> String {
        format!("/checkout?choice={}", self.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::orders::{OfferOf, ReserveAny, ReserveNamed};
    use uuid::Uuid;

    #[test]
    fn a_choice_is_decoded_as_it_was_encoded() {
        let id = Uuid::from_u128;
        let any = ReserveAny {
            event_id: model::ids::EventId(id(1)),
            quantity: 2,
            section: Some("Große Loge & Balkon".to_owned()),
            max_price_minor: Some(2500),
            offer: Some(OfferOf {
                seller_id: model::ids::UserId(id(2)),
                price_minor: 2500,
                face_value_minor: None,
            }),
        };
        let named = ReserveNamed {
            ticket_ids: (1..9)
                .map(|ticket| model::ids::TicketId(id(ticket)))
                .collect(),
        };
        for reserve in [Reserve::Any(any), Reserve::Named(named)] {
            let choice = Choice {
                reserve,
                attempt: "one".to_owned(),
            };
            let url = choice.checkout_url();
            assert!(url.len() < 1000 && url.is_ascii(), "{url}");
            let text = url.split('=').nth(1).unwrap();
            assert_eq!(Choice::decode(text), Some(choice));
        }
    }

    #[test]
    fn invalid_text_is_not_decoded() {
        for text in ["", "e30", "x y", "eyJhdHRlbXB0IjoiIn0"] {
            assert_eq!(Choice::decode(text), None, "{text}");
        }
    }
}
