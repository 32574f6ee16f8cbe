//! Disputes: a cardholder asks their bank for the money back. They begin and end at the bank, so no call
//! of a shop makes one; the shop hears of it by events, and asks.

use super::{Params, State, missing, new_id, page};
use crate::model::{Dispute, DisputeStatus, Record};
use crate::reply::Answer;

impl State {
    /// Somebody disputes a payment, all of what is left of it. Returns the dispute's id; none if no money
    /// of it is here, one is under way, or one has taken it.
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
        self.tell_of("charge.dispute.created", &dispute.json(), now);
        self.keep(Record::Dispute(dispute));
        Some(id)
    }

    /// The bank has decided, or goes on deciding. False: there is no such dispute.
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
        self.tell_of(what, &dispute.json(), now);
        self.keep(Record::Dispute(dispute));
        true
    }

    /// Whether a dispute of this intent is under way or was lost: nothing of it can be refunded then.
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
