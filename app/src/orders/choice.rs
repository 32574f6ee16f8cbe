//! What somebody has chosen and not reserved yet: it goes with them, in an address, while they say who
//! they are. It promises nothing: what it can be had for, reserving says.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use model::orders::Reserve;
use serde::{Deserialize, Serialize};

/// Tickets that were chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Which.
    pub reserve: Reserve,
    /// Names the try to reserve them, so that it is one order however often it is sent.
    pub attempt: String,
}

impl Choice {
    /// As an address and a form carry it.
    pub fn text(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        BASE64.encode(json)
    }

    /// What [`Choice::text`] said. None: it said nothing of the kind.
    pub fn read(text: &str) -> Option<Self> {
        let json = BASE64.decode(text).ok()?;
        serde_json::from_slice(&json).ok()
    }

    /// The page where one says who one is.
    pub fn page(&self) -> String {
        format!("/checkout?choice={}", self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::orders::{OfferOf, ReserveAny, ReserveNamed};
    use uuid::Uuid;

    #[test]
    fn a_choice_comes_back_as_it_went() {
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
            let page = choice.page();
            assert!(page.len() < 1000 && page.is_ascii(), "{page}");
            let text = page.split('=').nth(1).unwrap();
            assert_eq!(Choice::read(text), Some(choice));
        }
    }

    #[test]
    fn what_is_no_choice_is_none() {
        for text in ["", "e30", "x y", "eyJhdHRlbXB0IjoiIn0"] {
            assert_eq!(Choice::read(text), None, "{text}");
        }
    }
}
