//! Everything that the double remembers, and what its calls do to it. One lock, no waiting: a
//! call is one step here, however it reaches or leaves the wire.

mod refunds;
#[cfg(test)]
mod tests;
mod tokens;

use crate::{
    WebhookTarget,
    cards::{self, Outcome, Refusal},
    faults::Faults,
    model::{Answered, Card, Event, Intent, JournalLine, Record, Refund, Status, card_error},
    store::Store,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    path::PathBuf,
};

/// The largest amount that Stripe takes.
const AMOUNT_MAX: i64 = 99_999_999;

pub struct State {
    store: Store,
    pub browser_url: String,
    pub webhooks: Option<WebhookTarget>,
    pub faults: Faults,
    intents: HashMap<String, Intent>,
    /// Ids of the intents, oldest first.
    made: Vec<String>,
    cards: HashMap<String, Card>,
    refunds: Vec<Refund>,
    answered: HashMap<String, Answered>,
    events: Vec<Event>,
}

/// A call's answer: status and body.
pub type Reply = (u16, Value);

/// The parameters of a call, by Stripe's names: `metadata[order_id]`.
pub type Params = BTreeMap<String, String>;

impl State {
    pub fn open(data_dir: Option<PathBuf>) -> std::io::Result<Self> {
        let (store, records) = Store::open(data_dir)?;
        let mut state = Self {
            store,
            browser_url: String::new(),
            webhooks: None,
            faults: Faults::default(),
            intents: HashMap::new(),
            made: Vec::new(),
            cards: HashMap::new(),
            refunds: Vec::new(),
            answered: HashMap::new(),
            events: Vec::new(),
        };
        for record in records {
            state.put(record);
        }
        state.events.retain(|event| !event.taken);
        Ok(state)
    }

    fn put(&mut self, record: Record) {
        match record {
            Record::Intent(intent) => {
                if !self.intents.contains_key(&intent.id) {
                    self.made.push(intent.id.clone());
                }
                self.intents.insert(intent.id.clone(), *intent);
            }
            Record::Card(card) => {
                self.cards.insert(card.id.clone(), card);
            }
            Record::Refund(refund) => self.refunds.push(refund),
            Record::Answered(answered) => {
                self.answered.insert(answered.key.clone(), answered);
            }
            Record::Event(event) => {
                match self.events.iter_mut().find(|known| known.id == event.id) {
                    Some(known) => *known = event,
                    None => self.events.push(event),
                }
            }
        }
    }

    fn keep(&mut self, record: Record) {
        self.store.write(&record);
        self.put(record);
    }

    /// What was answered under this key; or how it was misused.
    pub fn answered(&self, key: &str, request: &str) -> Option<Result<Reply, Reply>> {
        let answered = self.answered.get(key)?;
        Some(if answered.request == request {
            Ok((answered.status, answered.body.clone()))
        } else {
            let message = format!(
                "Keys for idempotent requests can only be used with the same parameters they were \
                 first used with. Try using a key other than '{key}' if you meant to execute a \
                 different request."
            );
            Err((
                400,
                json!({"error": {"type": "idempotency_error", "message": message}}),
            ))
        })
    }

    /// Remembers an answer. Refused parameters are not remembered, as with Stripe: they never
    /// became a call.
    pub fn remember(&mut self, key: &str, request: &str, reply: &Reply) {
        if reply.0 == 400 || reply.0 == 404 || reply.0 == 429 {
            return;
        }
        self.keep(Record::Answered(Answered {
            key: key.to_owned(),
            request: request.to_owned(),
            status: reply.0,
            body: reply.1.clone(),
        }));
    }

    pub fn create_intent(&mut self, params: &Params, now: i64) -> Reply {
        let amount = match amount_of(params, "amount") {
            Ok(Some(amount)) => amount,
            Ok(None) => return invalid("amount", "Missing required param: amount."),
            Err(reply) => return reply,
        };
        let currency = match params.get("currency").map(|code| code.to_lowercase()) {
            Some(code) if code.len() == 3 && code.bytes().all(|b| b.is_ascii_lowercase()) => code,
            Some(_) => return invalid("currency", "Invalid currency."),
            None => return invalid("currency", "Missing required param: currency."),
        };
        let mut intent = Intent {
            id: new_id("pi_"),
            secret: new_id(""),
            status: Status::RequiresPaymentMethod,
            amount,
            currency,
            amount_received: 0,
            amount_refunded: 0,
            capture_by_hand: params
                .get("capture_method")
                .is_some_and(|how| how == "manual"),
            metadata: metadata_of(params),
            description: params.get("description").cloned(),
            created: now,
            canceled_at: None,
            cancellation_reason: None,
            payment_method: None,
            latest_charge: None,
            return_url: None,
            by_script: false,
            pending: None,
            refused: None,
        };
        if params
            .get("confirm")
            .is_none_or(|confirm| confirm != "true")
        {
            self.tell("payment_intent.created", &intent, now);
            let body = intent.json(&self.browser_url);
            self.keep(Record::Intent(Box::new(intent)));
            return (200, body);
        }
        match self.confirm(&mut intent, params, now) {
            // Refused parameters make no intent.
            Err(reply) => reply,
            Ok(reply) => {
                self.keep(Record::Intent(Box::new(intent)));
                reply
            }
        }
    }

    pub fn confirm_intent(&mut self, id: &str, params: &Params, now: i64) -> Reply {
        let Some(mut intent) = self.intents.get(id).cloned() else {
            return missing("intent", id);
        };
        let may = [
            Status::RequiresPaymentMethod,
            Status::RequiresConfirmation,
            Status::RequiresAction,
        ];
        if !may.contains(&intent.status) {
            return self.unexpected(&intent, "confirm");
        }
        match self.confirm(&mut intent, params, now) {
            Err(reply) => reply,
            Ok(reply) => {
                self.keep(Record::Intent(Box::new(intent)));
                reply
            }
        }
    }

    /// Charges the card that the parameters name. `Err`: they don't name one, and nothing is
    /// changed.
    fn confirm(&mut self, intent: &mut Intent, params: &Params, now: i64) -> Result<Reply, Reply> {
        let card = self.card_of(intent, params)?;
        intent.return_url = params
            .get("return_url")
            .cloned()
            .or(intent.return_url.take());
        intent.by_script = params.get("use_stripe_sdk").is_some_and(|by| by == "true");
        intent.refused = None;
        intent.pending = None;
        intent.payment_method = Some(card.id.clone());
        let outcome = match Self::forced(params) {
            Some(outcome) => outcome,
            None => card.outcome.clone(),
        };
        if card.is_confirmation_token() {
            let used_by = Some(intent.id.clone());
            self.keep(Record::Card(Card { used_by, ..card }));
        }
        match outcome {
            Outcome::Approve => self.authorise(intent, now),
            Outcome::Decline(refused) => return Ok(self.decline(intent, &refused, now)),
            Outcome::Authenticate | Outcome::AuthenticateThenDecline(_) => {
                intent.status = Status::RequiresAction;
                intent.pending = Some(outcome);
                self.tell("payment_intent.requires_action", intent, now);
            }
        }
        Ok((200, intent.json(&self.browser_url)))
    }

    /// A fault can decide for the card.
    fn forced(params: &Params) -> Option<Outcome> {
        match params.get(FORCED)?.as_str() {
            "declined" => cards::by_payment_method("pm_card_chargeDeclined"),
            _ => Some(Outcome::Authenticate),
        }
    }

    fn card_of(&self, intent: &Intent, params: &Params) -> Result<Card, Reply> {
        if let Some(id) = params.get("confirmation_token") {
            let Some(card) = self
                .cards
                .get(id)
                .filter(|card| card.is_confirmation_token())
            else {
                return Err(no_such("confirmation_token", "ConfirmationToken", id));
            };
            if card
                .used_by
                .as_ref()
                .is_some_and(|used_by| *used_by != intent.id)
            {
                let message = "This ConfirmationToken has been used with another intent.";
                return Err(invalid("confirmation_token", message));
            }
            return Ok(card.clone());
        }
        let Some(id) = params
            .get("payment_method")
            .or(intent.payment_method.as_ref())
        else {
            let message =
                "You cannot confirm this PaymentIntent because it's missing a payment method.";
            return Err(invalid("payment_method", message));
        };
        if let Some(card) = self.cards.get(id) {
            return Ok(card.clone());
        }
        let outcome = cards::by_payment_method(id)
            .ok_or_else(|| no_such("payment_method", "PaymentMethod", id))?;
        Ok(Card {
            id: id.clone(),
            outcome,
            last4: "4242".to_owned(),
            created: 0,
            used_by: None,
        })
    }

    fn authorise(&mut self, intent: &mut Intent, now: i64) {
        intent.latest_charge = Some(new_id("ch_"));
        if intent.capture_by_hand {
            intent.status = Status::RequiresCapture;
            self.tell("payment_intent.amount_capturable_updated", intent, now);
        } else {
            intent.status = Status::Succeeded;
            intent.amount_received = intent.amount;
            self.tell("payment_intent.succeeded", intent, now);
        }
    }

    fn decline(&mut self, intent: &mut Intent, refused: &Refusal, now: i64) -> Reply {
        intent.status = Status::RequiresPaymentMethod;
        intent.payment_method = None;
        intent.refused = Some(refused.clone());
        self.tell("payment_intent.payment_failed", intent, now);
        let body = intent.json(&self.browser_url);
        (402, json!({"error": card_error(refused, Some(body))}))
    }

    pub fn answer_at_bank(&mut self, id: &str, approve: bool, now: i64) -> bool {
        let Some(mut intent) = self.intents.get(id).cloned() else {
            return false;
        };
        if intent.status != Status::RequiresAction {
            return false;
        }
        match (approve, intent.pending.take()) {
            (true, Some(Outcome::AuthenticateThenDecline(refused))) => {
                self.decline(&mut intent, &refused, now);
            }
            (true, _) => self.authorise(&mut intent, now),
            (false, _) => {
                self.decline(&mut intent, &cards::authentication_failed(), now);
            }
        }
        self.keep(Record::Intent(Box::new(intent)));
        true
    }

    pub fn capture_intent(&mut self, id: &str, params: &Params, now: i64) -> Reply {
        let Some(mut intent) = self.intents.get(id).cloned() else {
            return missing("intent", id);
        };
        if intent.status != Status::RequiresCapture {
            return self.unexpected(&intent, "capture");
        }
        let amount = match amount_of(params, "amount_to_capture") {
            Ok(amount) => amount.unwrap_or(intent.amount),
            Err(reply) => return reply,
        };
        if amount > intent.amount {
            let message = "The amount to capture is greater than what was authorised.";
            return invalid("amount_to_capture", message);
        }
        intent.status = Status::Succeeded;
        intent.amount_received = amount;
        self.tell("payment_intent.succeeded", &intent, now);
        let body = intent.json(&self.browser_url);
        self.keep(Record::Intent(Box::new(intent)));
        (200, body)
    }

    pub fn cancel_intent(&mut self, id: &str, params: &Params, now: i64) -> Reply {
        let Some(mut intent) = self.intents.get(id).cloned() else {
            return missing("intent", id);
        };
        if matches!(intent.status, Status::Canceled | Status::Succeeded) {
            return self.unexpected(&intent, "cancel");
        }
        intent.status = Status::Canceled;
        intent.canceled_at = Some(now);
        intent.cancellation_reason = params.get("cancellation_reason").cloned();
        self.tell("payment_intent.canceled", &intent, now);
        let body = intent.json(&self.browser_url);
        self.keep(Record::Intent(Box::new(intent)));
        (200, body)
    }

    pub fn show_intent(&self, id: &str) -> Reply {
        match self.intents.get(id) {
            Some(intent) => (200, intent.json(&self.browser_url)),
            None => missing("intent", id),
        }
    }

    /// Newest first, as Stripe lists.
    pub fn list_intents(&self, params: &Params) -> Reply {
        let limit = params
            .get("limit")
            .and_then(|limit| limit.parse().ok())
            .unwrap_or(10_usize);
        let since = params
            .get("created[gte]")
            .and_then(|since| since.parse().ok())
            .unwrap_or(0_i64);
        let mut newest: Vec<&Intent> = self
            .made
            .iter()
            .rev()
            .filter_map(|id| self.intents.get(id))
            .collect();
        newest.retain(|intent| intent.created >= since);
        if let Some(after) = params.get("starting_after") {
            let Some(place) = newest.iter().position(|intent| intent.id == *after) else {
                return missing("starting_after", after);
            };
            newest.drain(..=place);
        }
        let limit = limit.clamp(1, 100);
        let data: Vec<Value> = newest
            .iter()
            .take(limit)
            .map(|intent| intent.json(&self.browser_url))
            .collect();
        let body = json!({
            "object": "list", "url": "/v1/payment_intents", "has_more": newest.len() > limit, "data": data,
        });
        (200, body)
    }

    /// The way back from the bank, once it has been answered.
    pub fn way_back(&self, id: &str) -> Option<String> {
        let intent = self.intents.get(id)?;
        let url = intent.return_url.as_deref()?;
        let mark = if url.contains('?') { '&' } else { '?' };
        let result = if intent.refused.is_some() {
            "failed"
        } else {
            "succeeded"
        };
        Some(format!(
            "{url}{mark}payment_intent={id}&payment_intent_client_secret={}&redirect_status={result}",
            intent.client_secret()
        ))
    }

    /// The intent, if the secret is its own: what a browser may see.
    pub fn by_secret(&self, id: &str, secret: &str) -> Option<&Intent> {
        self.intents
            .get(id)
            .filter(|intent| intent.client_secret() == secret)
    }

    pub fn journal(&self) -> Vec<JournalLine> {
        let line = |intent: &Intent| JournalLine {
            id: intent.id.clone(),
            status: json!(intent.status).as_str().unwrap_or_default().to_owned(),
            amount: intent.amount,
            amount_received: intent.amount_received,
            amount_refunded: intent.amount_refunded,
            currency: intent.currency.clone(),
            metadata: intent.metadata.clone(),
        };
        self.made
            .iter()
            .filter_map(|id| self.intents.get(id))
            .map(line)
            .collect()
    }

    pub fn has_undelivered(&self) -> bool {
        self.webhooks.is_some() && !self.events.is_empty()
    }

    pub fn undelivered(&self) -> Vec<Event> {
        self.events.clone()
    }

    pub fn event_taken(&mut self, id: &str) {
        let Some(place) = self.events.iter().position(|event| event.id == id) else {
            return;
        };
        let event = self.events.remove(place);
        self.store.write(&Record::Event(Event {
            taken: true,
            ..event
        }));
    }

    pub fn event_payload(&self, event: &str, intent: &str, at: i64) -> String {
        let object = self
            .intents
            .get(intent)
            .map(|intent| intent.json(&self.browser_url));
        event_json(
            event,
            "payment_intent.succeeded",
            &object.unwrap_or(Value::Null),
            at,
        )
    }

    fn tell(&mut self, what: &str, intent: &Intent, now: i64) {
        self.tell_of(what, &intent.json(&self.browser_url), now);
    }

    fn tell_of(&mut self, what: &str, object: &Value, now: i64) {
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
    }

    fn unexpected(&self, intent: &Intent, verb: &str) -> Reply {
        let body = intent.json(&self.browser_url);
        let message = format!(
            "This PaymentIntent could not be {verb}ed because it has a status of {}.",
            body["status"].as_str().unwrap_or_default()
        );
        let error = json!({
            "type": "invalid_request_error", "code": "payment_intent_unexpected_state",
            "message": message, "payment_intent": body,
        });
        (400, json!({"error": error}))
    }
}

/// Set among the parameters when a fault decides what the card comes to.
pub const FORCED: &str = "\0forced";

fn event_json(id: &str, what: &str, object: &Value, now: i64) -> String {
    json!({
        "id": id, "object": "event", "api_version": "2026-09-30.endive", "created": now,
        "data": {"object": object}, "livemode": false, "pending_webhooks": 1,
        "request": {"id": null, "idempotency_key": null}, "type": what,
    })
    .to_string()
}

fn amount_of(params: &Params, name: &str) -> Result<Option<i64>, Reply> {
    match params.get(name).map(|text| text.parse::<i64>()) {
        None => Ok(None),
        Some(Ok(amount)) if (1..=AMOUNT_MAX).contains(&amount) => Ok(Some(amount)),
        Some(_) => Err(invalid(name, "Invalid integer.")),
    }
}

fn metadata_of(params: &Params) -> BTreeMap<String, String> {
    params
        .iter()
        .filter_map(|(name, value)| {
            let key = name.strip_prefix("metadata[")?.strip_suffix(']')?;
            Some((key.to_owned(), value.clone()))
        })
        .collect()
}

fn invalid(param: &str, message: &str) -> Reply {
    (
        400,
        json!({"error": {"type": "invalid_request_error", "param": param, "message": message}}),
    )
}

fn no_such(param: &str, kind: &str, id: &str) -> Reply {
    let error = json!({"type": "invalid_request_error", "code": "resource_missing",
        "param": param, "message": format!("No such {kind}: '{id}'")});
    (400, json!({"error": error}))
}

fn missing(param: &str, id: &str) -> Reply {
    let error = json!({"type": "invalid_request_error", "code": "resource_missing",
        "param": param, "message": format!("No such resource: '{id}'")});
    (404, json!({"error": error}))
}

fn new_id(prefix: &str) -> String {
    let bytes: [u8; 12] = rand::random();
    bytes.iter().fold(prefix.to_owned(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    })
}
