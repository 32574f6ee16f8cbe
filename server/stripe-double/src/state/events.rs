//! Events and the state of their delivery. `webhooks.rs` sends them.

use super::{State, new_id};
use crate::{
    faults::FaultKind,
    model::{Dispute, Event, Intent, Record, Refund},
};
use serde_json::{Value, json};

/// How an event is delivered; decided by a fault before the first delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Plain,
    Twice,
    /// With a wrong signature.
    Forged,
    /// Held back until a later one has been accepted.
    Held,
    /// Not at all.
    Lost,
}

/// An event to be sent.
pub(crate) struct Delivery {
    pub payload: String,
    pub manner: Manner,
}

impl State {
    pub(super) fn add_event(&mut self, what: &str, intent: &Intent, now: i64) {
        self.add_event_of(what, &intent.json(&self.browser_url), now);
    }

    pub(super) fn add_event_of(&mut self, what: &str, object: &Value, now: i64) {
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

    /// Whether any event is to be delivered, apart from those held back, whose later event may never occur.
    pub(crate) fn has_undelivered(&self) -> bool {
        let is_held = |event: &Event| self.manners.get(&event.id) == Some(&Manner::Held);
        self.webhooks.is_some() && !self.objects.events.iter().all(is_held)
    }

    /// Whether refunds have a scheduled end, which will create events.
    pub(crate) fn has_unsettled(&self) -> bool {
        !self.objects.unsettled.is_empty()
    }

    /// Ids of the events that have not been accepted, oldest first.
    pub(crate) fn undelivered(&self) -> Vec<String> {
        let events = self.objects.events.iter();
        events.map(|event| event.id.clone()).collect()
    }

    /// The delivery of this event, unless it is held back.
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

    /// Removes the fault of this event.
    pub(crate) fn deliver_plainly(&mut self, id: &str) {
        self.manners.insert(id.to_owned(), Manner::Plain);
    }

    /// Removes all faults and releases events that are held back.
    pub(crate) fn clear_faults(&mut self) {
        self.faults.clear();
        for manner in self.manners.values_mut() {
            *manner = Manner::Plain;
        }
    }

    /// Marks an event as accepted. Returns those that were held back until now, oldest first.
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

    /// Builds an event for [`Double::sign_event`](crate::Double::sign_event).
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

/// A minimal object for an event about an object that does not exist.
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
