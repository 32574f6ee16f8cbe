//! Changes of payments without a call: in Stripe's Dashboard, or by tampering. They have no idempotency key
//! and no answer.

use super::{AMOUNT_MAX, State, refunds::Wanted};
use crate::model::{Record, Status};

impl State {
    /// A refund of exactly this amount, without metadata. Returns its id.
    pub(crate) fn refund_at_dashboard(
        &mut self,
        intent: &str,
        amount: i64,
        now: i64,
    ) -> Option<String> {
        let intent = self.objects.intents.get(intent)?.clone();
        let wanted = Wanted {
            amount: Some(amount),
            ..Wanted::default()
        };
        let refund = self.refund(intent, wanted, now).ok()?;
        Some(refund.id)
    }

    /// Captures an intent. Returns false if it is not authorised.
    pub(crate) fn capture_at_dashboard(&mut self, intent: &str, now: i64) -> bool {
        let Some(intent) = self.objects.intents.get(intent).cloned() else {
            return false;
        };
        if intent.status != Status::RequiresCapture {
            return false;
        }
        let amount = intent.amount;
        self.capture(intent, amount, now);
        true
    }

    /// Changes the amount, and the received amount if captured, without an event. Returns false if the intent is
    /// canceled, more has been refunded, or Stripe does not accept the amount.
    pub(crate) fn set_amount(&mut self, intent: &str, amount: i64) -> bool {
        let Some(mut intent) = self.objects.intents.get(intent).cloned() else {
            return false;
        };
        let possible = (intent.amount_refunded.max(1)..=AMOUNT_MAX).contains(&amount);
        if intent.status == Status::Canceled || !possible {
            return false;
        }
        intent.amount = amount;
        if intent.status == Status::Succeeded {
            intent.amount_received = amount;
        }
        self.keep(Record::Intent(Box::new(intent)));
        true
    }
}
