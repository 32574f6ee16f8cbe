//! Events: what is told of, and how each telling goes until it is taken. Sending them is
//! `webhooks.rs`.

use super::{State, new_id};
use crate::{
    faults::FaultKind,
    model::{Dispute, Event, Intent, Record, Refund},
};
use serde_json::{Value, json};

/// How an event is delivered: a fault decides, when it is first about to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Plain,
    Twice,
    /// With a wrong signature.
    Forged,
    /// Not before a later one has been taken.
    Held,
    /// Not at all.
    Lost,
}

/// What is to be sent, and how.
pub(crate) struct Delivery {
    pub payload: String,
    pub manner: Manner,
}

impl State {
    pub(super) fn tell(&mut self, what: &str, intent: &Intent, now: i64) {
        self.tell_of(what, &intent.json(&self.browser_url), now);
    }

    pub(super) fn tell_of(&mut self, what: &str, object: &Value, now: i64) {
        if self.webhooks.is_none() {
            return;
        }
        let id = new_id("evt_");
        let payload = event_json(&id, what, object, now);
        self.keep(Record::Event(Event {
            id,
            payload,
            taken: false,
        }));
        self.has_news = true;
    }

    /// Whether anything is to be delivered now. What is held back is not: it waits for an event
    /// that may never come.
    pub(crate) fn has_undelivered(&self) -> bool {
        let is_held = |event: &Event| self.manners.get(&event.id) == Some(&Manner::Held);
        self.webhooks.is_some() && !self.objects.events.iter().all(is_held)
    }

    /// Whether time alone will make events.
    pub(crate) fn has_unsettled(&self) -> bool {
        !self.objects.unsettled.is_empty()
    }

    /// Ids of the events that have not been taken, oldest first.
    pub(crate) fn undelivered(&self) -> Vec<String> {
        let events = self.objects.events.iter();
        events.map(|event| event.id.clone()).collect()
    }

    /// What is to be sent of this event now, if anything.
    pub(crate) fn delivery(&mut self, id: &str) -> Option<Delivery> {
        let event = self.objects.events.iter().find(|event| event.id == id)?;
        let faults = &mut self.faults;
        let manner =
            self.manners
                .entry(id.to_owned())
                .or_insert_with(|| match faults.take_of_webhooks() {
                    Some(FaultKind::Duplicate) => Manner::Twice,
                    Some(FaultKind::BadSignature) => Manner::Forged,
                    Some(FaultKind::Reorder) => Manner::Held,
                    Some(FaultKind::Drop) => Manner::Lost,
                    _ => Manner::Plain,
                });
        (*manner != Manner::Held).then(|| Delivery {
            payload: event.payload.clone(),
            manner: *manner,
        })
    }

    /// Nothing goes wrong with this event any more.
    pub(crate) fn deliver_plainly(&mut self, id: &str) {
        self.manners.insert(id.to_owned(), Manner::Plain);
    }

    /// Nothing goes wrong any more, and what is held back goes out.
    pub(crate) fn clear_faults(&mut self) {
        self.faults.clear();
        for manner in self.manners.values_mut() {
            *manner = Manner::Plain;
        }
    }

    /// This event has been taken. Returns those that were held back until now, oldest first.
    pub(crate) fn event_taken(&mut self, id: &str) -> Vec<String> {
        self.keep(Record::Event(Event {
            id: id.to_owned(),
            payload: String::new(),
            taken: true,
        }));
        self.manners.remove(id);
        let released: Vec<String> = self
            .undelivered()
            .into_iter()
            .filter(|id| self.manners.get(id) == Some(&Manner::Held))
            .collect();
        for id in &released {
            self.deliver_plainly(id);
        }
        released
    }

    /// A made-up event about an intent, its charge, or the newest of its refunds. Its id is
    /// `event`; so is its type, up to a `#`, if there are such events, or else it is
    /// `payment_intent.succeeded`.
    pub(crate) fn event_payload(&self, event: &str, intent: &str, at: i64) -> String {
        let kind = event.split('#').next().unwrap_or_default();
        let known = self.objects.intents.get(intent);
        if kind.starts_with("refund.") {
            let mut refunds = self.objects.refunds.newest_first();
            let object = refunds
                .find(|refund| refund.intent == intent)
                .map_or_else(|| about("refund", intent), Refund::json);
            return event_json(event, kind, &object, at);
        }
        if kind.starts_with("charge.dispute.") {
            let mut disputes = self.objects.disputes.newest_first();
            let object = disputes
                .find(|dispute| dispute.intent == intent)
                .map_or_else(|| about("dispute", intent), Dispute::json);
            return event_json(event, kind, &object, at);
        }
        if kind.starts_with("charge.") {
            let object = known.map_or_else(|| about("charge", intent), Intent::charge_json);
            return event_json(event, kind, &object, at);
        }
        let kind = if kind.starts_with("payment_intent.") {
            kind
        } else {
            "payment_intent.succeeded"
        };
        let object = known.map_or(Value::Null, |intent| intent.json(&self.browser_url));
        event_json(event, kind, &object, at)
    }
}

/// Of an object that does not exist, the least that a receiver reads.
fn about(object: &str, intent: &str) -> Value {
    json!({"id": format!("{object}_unknown"), "object": object, "payment_intent": intent})
}

fn event_json(id: &str, what: &str, object: &Value, now: i64) -> String {
    json!({
        "id": id, "object": "event", "api_version": "2026-09-30.endive", "created": now,
        "data": {"object": object}, "livemode": false, "pending_webhooks": 1,
        "request": {"id": null, "idempotency_key": null}, "type": what,
    })
    .to_string()
}
