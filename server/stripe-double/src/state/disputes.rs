//! Disputes. They begin and end at the bank, so no call of the shop creates one; the shop receives events.

use super::{Params, State, missing, new_id, page};
use crate::model::{Dispute, DisputeStatus, Record};
use crate::reply::Answer;

impl State {
    /// Opens a dispute of the remaining amount. Returns its id; none if nothing remains, or a dispute is open or
    /// lost.
    pub(crate) fn dispute(&mut self, intent: &str, reason: &str, now: i64) -> Option<String> {
        let intent = self.objects.intents.get(intent)?.clone();
        let amount = intent.amount_received - intent.amount_refunded;
        if amount == 0 || self.is_charged_back(&intent.id) {
            return None;
        }
        let dispute = Dispute {
            id: new_id("dp_"),
            intent: intent.id.clone(),
            charge: intent.latest_charge.clone(),
            amount,
            currency: intent.currency.clone(),
            created: now,
            reason: reason.to_owned(),
            status: DisputeStatus::NeedsResponse,
        };
        let id = dispute.id.clone();
        self.add_event_of("charge.dispute.created", &dispute.json(), now);
        self.keep(Record::Dispute(dispute));
        Some(id)
    }

    /// Sets the status. Returns false if there is no such dispute.
    pub(crate) fn decide_dispute(&mut self, id: &str, status: DisputeStatus, now: i64) -> bool {
        let Some(mut dispute) = self.objects.disputes.get(id).cloned() else {
            return false;
        };
        dispute.status = status;
        let what = if dispute.is_open() {
            "charge.dispute.updated"
        } else {
            "charge.dispute.closed"
        };
        self.add_event_of(what, &dispute.json(), now);
        self.keep(Record::Dispute(dispute));
        true
    }

    /// Whether a dispute of this intent is open or lost, so that it cannot be refunded.
    pub(crate) fn is_charged_back(&self, intent: &str) -> bool {
        let mut disputes = self.objects.disputes.oldest_first();
        disputes.any(|dispute| dispute.intent == intent && dispute.status != DisputeStatus::Won)
    }

    pub(crate) fn show_dispute(&self, id: &str) -> Answer {
        let dispute = self.objects.disputes.get(id);
        let dispute = dispute.ok_or_else(|| missing("dispute", id))?;
        Ok((200, dispute.json()))
    }

    pub(crate) fn list_disputes(&self, params: &Params) -> Answer {
        let intent = params.get("payment_intent");
        let newest = self.objects.disputes.newest_first();
        let newest = newest.filter(|dispute| intent.is_none_or(|id| dispute.intent == *id));
        page(
            params,
            "/v1/disputes",
            newest,
            |dispute: &Dispute| (&dispute.id, dispute.created),
            Dispute::json,
        )
    }
}
