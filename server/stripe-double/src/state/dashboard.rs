//! What happens to a payment behind the shop's back: in Stripe's Dashboard, or by a hand that has
//! no business there. No call asked for it, so no key and no answer belong to it.

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

    /// Somebody presses Capture. False: there is nothing to capture.
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

    /// The intent is for another amount from now on, and if its money has been taken, that amount
    /// was. Nobody is told. False: the intent is canceled, more has been refunded, or Stripe takes
    /// no such amount.
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
