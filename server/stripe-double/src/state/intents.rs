//! PaymentIntents: creation, confirmation, bank's decision, capture, cancellation.

use super::{Params, State, amount_of, invalid, metadata_of, missing, new_id};
use super::{no_such, page};
use crate::reply::{Answer, Reply};
use crate::{
    cards::{self, Outcome, RefundPath, Refusal},
    currencies,
    model::{Card, Intent, Record, Status, card_error},
};
use serde_json::json;

impl State {
    pub(crate) fn create_intent(&mut self, params: &Params, now: i64) -> Answer {
        let amount = amount_of(params, "amount")?
            .ok_or_else(|| invalid("amount", "Missing required param: amount."))?;
        let currency = match params.get("currency").map(|code| code.to_lowercase()) {
            Some(code) if currencies::is_supported(&code) => code,
            Some(code) => {
                let message = format!("Invalid currency: {code}.");
                return Err(invalid("currency", &message));
            }
            None => return Err(invalid("currency", "Missing required param: currency.")),
        };
        currencies::check_charge(&currency, amount)?;
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
            refund_path: RefundPath::default(),
        };
        if params
            .get("confirm")
            .is_none_or(|confirm| confirm != "true")
        {
            self.add_event("payment_intent.created", &intent, now);
            let body = intent.json(&self.browser_url);
            self.keep(Record::Intent(Box::new(intent)));
            return Ok((200, body));
        }
        // Invalid parameters create no intent.
        let reply = self.confirm(&mut intent, params, now)?;
        self.keep(Record::Intent(Box::new(intent)));
        Ok(reply)
    }

    pub(crate) fn confirm_intent(&mut self, id: &str, params: &Params, now: i64) -> Answer {
        let mut intent = self.intent(id)?;
        let may = [
            Status::RequiresPaymentMethod,
            Status::RequiresConfirmation,
            Status::RequiresAction,
        ];
        if !may.contains(&intent.status) {
            return Ok(self.unexpected(&intent, "confirm"));
        }
        let reply = self.confirm(&mut intent, params, now)?;
        self.keep(Record::Intent(Box::new(intent)));
        Ok(reply)
    }

    fn intent(&self, id: &str) -> Result<Intent, Reply> {
        let intent = self.objects.intents.get(id).cloned();
        intent.ok_or_else(|| missing("intent", id))
    }

    /// Charges the card of the parameters. `Err`: they contain none; nothing has changed.
    fn confirm(&mut self, intent: &mut Intent, params: &Params, now: i64) -> Answer {
        let card = self.card_of(intent, params)?;
        intent.return_url = params
            .get("return_url")
            .cloned()
            .or(intent.return_url.take());
        intent.by_script = params.get("use_stripe_sdk").is_some_and(|by| by == "true");
        intent.refused = None;
        intent.pending = None;
        intent.payment_method = Some(card.id.clone());
        intent.refund_path = card.refund_path;
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
                self.add_event("payment_intent.requires_action", intent, now);
            }
        }
        Ok((200, intent.json(&self.browser_url)))
    }

    /// The outcome that a fault forces.
    fn forced(params: &Params) -> Option<Outcome> {
        match params.get(FORCED)?.as_str() {
            "declined" => cards::by_payment_method("pm_card_chargeDeclined"),
            _ => Some(Outcome::Authenticate),
        }
    }

    fn card_of(&self, intent: &Intent, params: &Params) -> Result<Card, Reply> {
        if let Some(id) = params.get("confirmation_token") {
            let Some(card) = self
                .objects
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
        if let Some(card) = self.objects.cards.get(id) {
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
            refund_path: cards::refund_path(id),
        })
    }

    fn authorise(&mut self, intent: &mut Intent, now: i64) {
        intent.latest_charge = Some(new_id("ch_"));
        if intent.capture_by_hand {
            intent.status = Status::RequiresCapture;
            self.add_event("payment_intent.amount_capturable_updated", intent, now);
        } else {
            intent.status = Status::Succeeded;
            intent.amount_received = intent.amount;
            self.add_event("payment_intent.succeeded", intent, now);
        }
    }

    fn decline(&mut self, intent: &mut Intent, refused: &Refusal, now: i64) -> Reply {
        intent.status = Status::RequiresPaymentMethod;
        intent.payment_method = None;
        intent.refused = Some(refused.clone());
        self.add_event("payment_intent.payment_failed", intent, now);
        let body = intent.json(&self.browser_url);
        (402, json!({"error": card_error(refused, Some(body))}))
    }

    pub(crate) fn answer_at_bank(&mut self, id: &str, approve: bool, now: i64) -> bool {
        let Some(mut intent) = self.objects.intents.get(id).cloned() else {
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

    pub(crate) fn capture_intent(&mut self, id: &str, params: &Params, now: i64) -> Answer {
        let intent = self.intent(id)?;
        if intent.status != Status::RequiresCapture {
            return Ok(self.unexpected(&intent, "capture"));
        }
        let amount = amount_of(params, "amount_to_capture")?.unwrap_or(intent.amount);
        if amount > intent.amount {
            let message = "The amount to capture is greater than what was authorised.";
            return Err(invalid("amount_to_capture", message));
        }
        Ok(self.capture(intent, amount, now))
    }

    /// Captures an authorised intent.
    pub(super) fn capture(&mut self, mut intent: Intent, amount: i64, now: i64) -> Reply {
        intent.status = Status::Succeeded;
        intent.amount_received = amount;
        self.add_event("payment_intent.succeeded", &intent, now);
        let body = intent.json(&self.browser_url);
        self.keep(Record::Intent(Box::new(intent)));
        (200, body)
    }

    pub(crate) fn cancel_intent(&mut self, id: &str, params: &Params, now: i64) -> Answer {
        let mut intent = self.intent(id)?;
        if matches!(intent.status, Status::Canceled | Status::Succeeded) {
            return Ok(self.unexpected(&intent, "cancel"));
        }
        intent.status = Status::Canceled;
        intent.canceled_at = Some(now);
        intent.cancellation_reason = params.get("cancellation_reason").cloned();
        self.add_event("payment_intent.canceled", &intent, now);
        let body = intent.json(&self.browser_url);
        self.keep(Record::Intent(Box::new(intent)));
        Ok((200, body))
    }

    pub(crate) fn show_intent(&self, id: &str) -> Answer {
        Ok((200, self.intent(id)?.json(&self.browser_url)))
    }

    /// Lists intents, newest first, with expanded charges if requested.
    pub(crate) fn list_intents(&self, params: &Params) -> Answer {
        let with_charges = params
            .iter()
            .any(|(name, value)| name.starts_with("expand") && value == "data.latest_charge");
        page(
            params,
            "/v1/payment_intents",
            self.objects.intents.newest_first(),
            |intent: &Intent| (&intent.id, intent.created),
            |intent| {
                let mut shown = intent.json(&self.browser_url);
                if with_charges && intent.latest_charge.is_some() {
                    shown["latest_charge"] = intent.charge_json();
                }
                shown
            },
        )
    }

    /// The URL to return to from the bank, once the buyer has answered.
    pub(crate) fn return_url(&self, id: &str) -> Option<String> {
        let intent = self.objects.intents.get(id)?;
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

    /// Finds an intent by its client secret.
    pub(crate) fn by_secret(&self, id: &str, secret: &str) -> Option<&Intent> {
        self.objects
            .intents
            .get(id)
            .filter(|intent| intent.client_secret() == secret)
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

/// The parameter by which a fault forces an outcome.
pub(crate) const FORCED: &str = "\0forced";
