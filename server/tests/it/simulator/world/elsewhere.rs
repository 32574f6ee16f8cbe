//! Actions at Stripe outside the shop: captures and refunds in the Dashboard, and disputes.

use super::World;
use stripe_double::DisputeStatus;

impl World {
    /// Captures or refunds a payment in the Dashboard, or opens or decides a dispute.
    pub(super) fn act_at_stripe(&mut self) {
        let intents = self.intents();
        if intents.is_empty() {
            return;
        }
        let at = self.random.below(intents.len());
        let intent = &intents[at];
        match self.random.below(8) {
            0 => {
                let done = self.double.capture_at_dashboard(intent);
                self.trace
                    .push(format!("intent {at} is captured in the Dashboard: {done}"));
            }
            1 => {
                let left = self.double.journal()[at].clone();
                let left = left.amount_received - left.amount_refunded;
                let amount = [left, 1, 1500, 2500][self.random.below(4)];
                let done = self.double.refund_at_dashboard(intent, amount).is_some();
                self.trace.push(format!(
                    "{amount} of intent {at} is refunded in the Dashboard: {done}"
                ));
            }
            2 | 3 => {
                let opened = self.double.open_dispute(intent, "fraudulent");
                self.trace
                    .push(format!("intent {at} is disputed: {}", opened.is_some()));
                self.disputes.extend(opened);
            }
            4..=6 => self.decide_dispute(),
            _ => {}
        }
    }

    fn decide_dispute(&mut self) {
        let all: Vec<usize> = (0..self.disputes.len()).collect();
        let Some(at) = self.random.pick(&all).copied() else {
            return;
        };
        let (status, text) = [
            (DisputeStatus::UnderReview, "under review"),
            (DisputeStatus::Won, "won"),
            (DisputeStatus::Lost, "lost"),
        ][self.random.below(3)];
        let dispute = self.disputes[at].clone();
        self.double.decide_dispute(&dispute, status);
        self.trace
            .push(format!("the bank decides dispute {at}: {text}"));
        if status != DisputeStatus::UnderReview {
            self.disputes.remove(at);
        }
    }
}
