//! Injects faults between a test's shop and Stripe.

use super::App;
use serde_json::Value;
use stripe_double::{Fault, FaultKind};

impl App {
    /// Every call to Stripe is reset before it has an effect.
    pub fn stripe_is_away(&self) {
        self.fault("*", FaultKind::ResetBefore, 1_000);
    }

    /// Ends all faults.
    pub fn stripe_is_back(&self) {
        self.double.clear_faults();
    }

    /// The next `times` calls of this kind never reach Stripe.
    pub fn questions_are_lost(&self, call: &str, times: u32) {
        self.fault(call, FaultKind::ResetBefore, times);
    }

    /// The next call of this kind is refused as invalid.
    pub fn call_is_refused(&self, call: &str) {
        self.fault(call, FaultKind::Invalid, 1);
    }

    /// The next call of this kind takes a second and a half.
    pub fn next_call_is_slow(&self, call: &str) {
        self.fault(call, FaultKind::Slow, 1);
    }

    /// The next call has its effect, but its response is lost.
    pub fn answer_is_lost(&self, call: &str) {
        self.fault(call, FaultKind::ResetAfter, 1);
    }

    /// The next call has its effect, but its response is an error, which its idempotency key replays.
    pub fn answer_is_an_error(&self, call: &str) {
        self.fault(call, FaultKind::ErrorAfter, 1);
    }

    /// The next `times` new calls have no effect; each response is an error, which its idempotency key replays.
    pub fn calls_come_to_nothing(&self, call: &str, times: u32) {
        self.fault(call, FaultKind::ErrorInstead, times);
    }

    /// The next webhook delivery has the fault `how`.
    pub fn webhooks_go_wrong(&self, how: &str) {
        let kind = serde_json::from_value(Value::from(how)).unwrap();
        self.fault("webhooks", kind, 1);
    }

    fn fault(&self, call: &str, kind: FaultKind, times: u32) {
        self.double.add_fault(Fault {
            call: call.to_owned(),
            kind,
            times,
        });
    }
}
