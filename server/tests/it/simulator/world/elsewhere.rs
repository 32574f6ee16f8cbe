//! What people and banks do at Stripe, without the shop: it hears of it by webhooks, if at all.

use super::World;
use stripe_double::DisputeStatus;

impl World {
    /// Somebody captures or refunds by hand, or a cardholder goes to their bank.
    pub(super) fn at_stripes_own_pages(&mut self) {
        let intents = self.intents();
        if intents.is_empty() {
            return;
        }
        let at = self.dice.below(intents.len());
        let intent = &intents[at];
        match self.dice.below(8) {
            0 => {
                let done = self.double.capture_at_dashboard(intent);
                self.trace
                    .push(format!("somebody captures intent {at} by hand: {done}"));
            }
            1 => {
                let left = self.double.journal()[at].clone();
                let left = left.amount_received - left.amount_refunded;
                let amount = [left, 1, 1500, 2500][self.dice.below(4)];
                let done = self.double.refund_at_dashboard(intent, amount).is_some();
                self.trace.push(format!(
                    "somebody pays {amount} of intent {at} back by hand: {done}"
                ));
            }
            2 | 3 => {
                let opened = self.double.open_dispute(intent, "fraudulent");
                self.trace
                    .push(format!("intent {at} is disputed: {}", opened.is_some()));
                self.disputes.extend(opened);
            }
            4..=6 => self.bank_decides(),
            _ => {}
        }
    }

    fn bank_decides(&mut self) {
        let all: Vec<usize> = (0..self.disputes.len()).collect();
        let Some(at) = self.dice.pick(&all).copied() else {
            return;
        };
        let (status, said) = [
            (DisputeStatus::UnderReview, "under review"),
            (DisputeStatus::Won, "won"),
            (DisputeStatus::Lost, "lost"),
        ][self.dice.below(3)];
        let dispute = self.disputes[at].clone();
        self.double.decide_dispute(&dispute, status);
        self.trace
            .push(format!("the bank decides dispute {at}: {said}"));
        if status != DisputeStatus::UnderReview {
            self.disputes.remove(at);
        }
    }
}
