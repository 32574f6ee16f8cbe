//! Money back.

use super::{Params, Reply, State, amount_of, invalid, metadata_of, missing, new_id};
use crate::model::{Record, Refund};
use serde_json::json;

impl State {
    pub fn create_refund(&mut self, params: &Params, now: i64) -> Reply {
        let Some(id) = params.get("payment_intent") else {
            return invalid("payment_intent", "Name the payment_intent to refund.");
        };
        let Some(mut intent) = self.intents.get(id).cloned() else {
            return missing("payment_intent", id);
        };
        let left = intent.amount_received - intent.amount_refunded;
        let amount = match amount_of(params, "amount") {
            Ok(amount) => amount.unwrap_or(left),
            Err(reply) => return reply,
        };
        if left == 0 {
            let error = json!({"type": "invalid_request_error", "code": "charge_already_refunded",
                "message": "There is nothing left to refund."});
            return (400, json!({"error": error}));
        }
        if amount > left {
            return invalid(
                "amount",
                "The refund is greater than what is left of the charge.",
            );
        }
        let refund = Refund {
            id: new_id("re_"),
            intent: intent.id.clone(),
            charge: intent.latest_charge.clone(),
            amount,
            currency: intent.currency.clone(),
            created: now,
            metadata: metadata_of(params),
        };
        intent.amount_refunded += amount;
        let charge = json!({
            "id": intent.latest_charge, "object": "charge", "amount": intent.amount,
            "amount_refunded": intent.amount_refunded, "payment_intent": intent.id,
            "refunded": intent.amount_refunded == intent.amount_received,
        });
        self.tell_of("charge.refunded", &charge, now);
        let body = refund.json();
        self.keep(Record::Intent(Box::new(intent)));
        self.keep(Record::Refund(refund));
        (200, body)
    }

    pub fn show_refund(&self, id: &str) -> Reply {
        match self.refunds.iter().find(|refund| refund.id == id) {
            Some(refund) => (200, refund.json()),
            None => missing("refund", id),
        }
    }
}
