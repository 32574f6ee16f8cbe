//! Refunds: one can succeed at once or later, or fail after it had succeeded. The remaining amount of a
//! payment is the received amount less all refunds that have not failed.

use super::{Params, State, amount_of, invalid, metadata_of, missing, new_id, page};
use crate::reply::{Answer, Reply};
use crate::{
    cards::RefundPath,
    currencies,
    model::{Ending, Intent, Record, Refund, RefundStatus},
};
use serde_json::json;
use std::collections::BTreeMap;

/// Seconds until a refund that does not end at once ends.
const SETTLES_AFTER_SECONDS: i64 = 2;

/// The failure reason of every failed refund.
const FAILURE: &str = "expired_or_canceled_card";

/// The parameters.
#[derive(Default)]
pub(crate) struct Wanted {
    /// The remaining amount, if missing.
    pub amount: Option<i64>,
    pub reason: Option<String>,
    pub metadata: BTreeMap<String, String>,
}

impl State {
    pub(crate) fn create_refund(&mut self, params: &Params, now: i64) -> Answer {
        let intent = self.intent_to_refund(params)?;
        let reason = params.get("reason").cloned();
        let reasons = ["duplicate", "fraudulent", "requested_by_customer"];
        if reason.as_deref().is_some_and(|it| !reasons.contains(&it)) {
            return Err(invalid("reason", "Invalid reason."));
        }
        let amount = amount_of(params, "amount")?;
        if let Some(amount) = amount {
            currencies::check_steps(&intent.currency, amount)?;
        }
        let wanted = Wanted {
            amount,
            reason,
            metadata: metadata_of(params),
        };
        // From here on the call has begun, so its answer is stored for the key.
        Ok(match self.refund(intent, wanted, now) {
            Ok(refund) => (200, refund.json()),
            Err(reply) => reply,
        })
    }

    fn intent_to_refund(&self, params: &Params) -> Result<Intent, Reply> {
        let found = match (params.get("payment_intent"), params.get("charge")) {
            (Some(id), _) => self
                .objects
                .intents
                .get(id)
                .ok_or_else(|| missing("payment_intent", id)),
            (None, Some(id)) => self
                .objects
                .intents
                .newest_first()
                .find(|intent| intent.latest_charge.as_ref() == Some(id))
                .ok_or_else(|| missing("charge", id)),
            (None, None) => Err(invalid(
                "payment_intent",
                "Name the payment_intent to refund.",
            )),
        };
        found.cloned()
    }

    pub(crate) fn refund(
        &mut self,
        mut intent: Intent,
        wanted: Wanted,
        now: i64,
    ) -> Result<Refund, Reply> {
        if intent.amount_received == 0 {
            let message = format!(
                "This PaymentIntent ({}) does not have a successful charge to refund.",
                intent.id
            );
            return Err(invalid("payment_intent", &message));
        }
        let left = intent.amount_received - intent.amount_refunded;
        if left == 0 {
            let error = json!({"type": "invalid_request_error", "code": "charge_already_refunded",
                "message": "There is nothing left to refund."});
            return Err((400, json!({"error": error})));
        }
        if self.is_charged_back(&intent.id) {
            let error = json!({"type": "invalid_request_error", "code": "charge_disputed",
                "message": "The charge has been charged back, so it cannot be refunded."});
            return Err((400, json!({"error": error})));
        }
        let amount = wanted.amount.unwrap_or(left);
        if !(1..=left).contains(&amount) {
            let message = "The refund is greater than what is left of the charge.";
            return Err(invalid("amount", message));
        }
        let ends = |succeeds| {
            let at = now + SETTLES_AFTER_SECONDS;
            Some(Ending { at, succeeds })
        };
        let (status, ending) = match intent.refund_path {
            RefundPath::Prompt => (RefundStatus::Succeeded, None),
            RefundPath::Pending => (RefundStatus::Pending, ends(true)),
            RefundPath::Fails => (RefundStatus::Succeeded, ends(false)),
        };
        let refund = Refund {
            id: new_id("re_"),
            intent: intent.id.clone(),
            charge: intent.latest_charge.clone(),
            amount,
            currency: intent.currency.clone(),
            created: now,
            metadata: wanted.metadata,
            reason: wanted.reason,
            status,
            failure_reason: None,
            ending,
        };
        intent.amount_refunded += amount;
        self.add_event_of("refund.created", &refund.json(), now);
        self.add_event_of("charge.refunded", &intent.charge_json(), now);
        self.keep(Record::Intent(Box::new(intent)));
        self.keep(Record::Refund(refund.clone()));
        Ok(refund)
    }

    /// Ends due refunds.
    pub(crate) fn settle_due(&mut self, now: i64) {
        let ending = |id: &String| self.objects.refunds.get(id)?.ending;
        let due: Vec<(String, bool)> = self
            .objects
            .unsettled
            .iter()
            .filter_map(|id| Some((id.clone(), ending(id)?)))
            .filter(|(_, ending)| ending.at <= now)
            .map(|(id, ending)| (id, ending.succeeds))
            .collect();
        for (id, succeeds) in due {
            self.settle_refund(&id, succeeds, now);
        }
    }

    /// Ends a refund. Returns false if it does not exist or has failed before.
    pub(crate) fn settle_refund(&mut self, id: &str, succeeds: bool, now: i64) -> bool {
        let Some(mut refund) = self.objects.refunds.get(id).cloned() else {
            return false;
        };
        if !refund.counts() {
            return false;
        }
        let was = refund.status;
        refund.ending = None;
        if succeeds {
            refund.status = RefundStatus::Succeeded;
            if was != refund.status {
                self.add_event_of("refund.updated", &refund.json(), now);
            }
        } else {
            refund.status = RefundStatus::Failed;
            refund.failure_reason = Some(FAILURE.to_owned());
            if let Some(mut intent) = self.objects.intents.get(&refund.intent).cloned() {
                intent.amount_refunded -= refund.amount;
                self.keep(Record::Intent(Box::new(intent)));
            }
            self.add_event_of("refund.failed", &refund.json(), now);
            self.add_event_of("refund.updated", &refund.json(), now);
        }
        self.keep(Record::Refund(refund));
        true
    }

    pub(crate) fn show_refund(&self, id: &str) -> Answer {
        let refund = self.objects.refunds.get(id);
        let refund = refund.ok_or_else(|| missing("refund", id))?;
        Ok((200, refund.json()))
    }

    pub(crate) fn list_refunds(&self, params: &Params) -> Answer {
        let (intent, charge) = (params.get("payment_intent"), params.get("charge"));
        let newest = self.objects.refunds.newest_first().filter(|refund| {
            intent.is_none_or(|id| refund.intent == *id)
                && charge.is_none_or(|id| refund.charge.as_ref() == Some(id))
        });
        page(
            params,
            "/v1/refunds",
            newest,
            |refund: &Refund| (&refund.id, refund.created),
            Refund::json,
        )
    }
}
