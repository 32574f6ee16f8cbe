//! Faults on demand, of calls and of webhook deliveries.
//!
//! `POST /double/faults` takes `{"call": …, "fault": …, "times": …}`, or `{"faults": [ … ]}` of
//! them; `DELETE /double/faults` removes them. `times` is 1 by default. The oldest matching fault is used
//! first. Faults are kept in memory only.
//!
//! For calls; `call` is one of `payment_intents.create`, `.list`, `.retrieve`, `.confirm`,
//! `.capture`, `.cancel`, `refunds.create`, `.list`, `.retrieve`, `disputes.list`, `.retrieve`,
//! `payment_methods.create`, or `*` for all of them:
//!
//! | `fault` | executed? | answer | the same key afterwards |
//! |---|---|---|---|
//! | `timeout_before` | no | after a minute, a truncated answer | is new |
//! | `timeout_after` | yes | after a minute, a truncated answer | replays the answer |
//! | `error_before` | no | 500 before the call began | is new |
//! | `error_after` | yes | 500 | replays the 500 |
//! | `error_instead` | no | 500 after the call began, without effect | replays the 500 |
//! | `reset_before` | no | a truncated answer | is new |
//! | `reset_after` | yes | a truncated answer | replays the answer |
//! | `rate_limited` | no | 429 | is new |
//! | `invalid` | no | 400: invalid parameters | is new |
//! | `slow` | yes | the answer, 1.5 s late | is in use until then: 409 |
//! | `declined` | yes | 402 for any card | replays the 402 |
//! | `requires_action` | yes | 3-D Secure for any card | replays the answer |
//!
//! Faults of the connection also apply to replays and to errors about a key. `error_after`,
//! `error_instead`, `declined` and `requires_action` wait for a call that is not a replay.
//!
//! For deliveries; `call` is `webhooks` (or `*`). Applied to an event before its first delivery:
//!
//! | `fault` | the event is |
//! |---|---|
//! | `duplicate` | delivered twice in succession |
//! | `reorder` | held back until a later event has been accepted, and delivered right after it |
//! | `drop` | never delivered; counts as accepted |
//! | `bad_signature` | sent with a wrong signature, and later again with the right one |

use serde::{Deserialize, Serialize};

/// The name under which faults of deliveries are set.
pub(crate) const WEBHOOKS: &str = "webhooks";

/// The first twelve are for calls, the last four for webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Not executed; no answer for a minute.
    TimeoutBefore,
    /// Executed; no answer for a minute.
    TimeoutAfter,
    /// Not executed; 500, not stored for the key.
    ErrorBefore,
    /// Executed; 500, replayed for the same key.
    ErrorAfter,
    /// Begun, not executed; 500, replayed for the same key.
    ErrorInstead,
    /// Not executed; the connection breaks.
    ResetBefore,
    /// Executed; the connection breaks.
    ResetAfter,
    /// Not executed; 429.
    RateLimited,
    /// Not executed; 400 for invalid parameters.
    Invalid,
    /// Executed; answered after 1.5 s. Its key is in use until then.
    Slow,
    /// Declines any card.
    Declined,
    /// Requires 3-D Secure for any card.
    RequiresAction,
    /// A webhook is delivered twice.
    Duplicate,
    /// A webhook is held back until a later one has been accepted.
    Reorder,
    /// A webhook is never delivered and counts as accepted.
    Drop,
    /// A webhook's first delivery has a wrong signature; the next a correct one.
    BadSignature,
}

impl FaultKind {
    /// Whether it applies to webhooks instead of calls.
    pub fn is_for_webhooks(self) -> bool {
        matches!(
            self,
            Self::Duplicate | Self::Reorder | Self::Drop | Self::BadSignature
        )
    }

    /// Whether the call does not begin.
    pub fn stops_the_call(self) -> bool {
        matches!(
            self,
            Self::TimeoutBefore
                | Self::ErrorBefore
                | Self::ResetBefore
                | Self::RateLimited
                | Self::Invalid
        )
    }

    /// Whether it is a fault of the connection.
    fn is_of_the_connection(self) -> bool {
        self.stops_the_call() || matches!(self, Self::TimeoutAfter | Self::ResetAfter | Self::Slow)
    }
}

/// A fault to be applied to calls or webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which call: `payment_intents.create`, `.confirm`, `.capture`, `.cancel`, `.retrieve`,
    /// `.list`, `refunds.create`, `.retrieve`, `.list`, `payment_methods.create`, or `*` for all;
    /// `webhooks` for deliveries.
    pub call: String,
    #[serde(rename = "fault")]
    pub kind: FaultKind,
    /// Number of times; 1 if missing.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

impl Fault {
    /// Whether its kind can apply to its call.
    pub fn can_happen(&self) -> bool {
        self.call == "*" || (self.call == WEBHOOKS) == self.kind.is_for_webhooks()
    }
}

/// The pending faults.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes the next fault of this call.
    pub(crate) fn take(&mut self, call: &str) -> Option<FaultKind> {
        self.take_if(call, |kind| !kind.is_for_webhooks())
    }

    /// Takes the next fault of a replayed call.
    pub(crate) fn take_on_replay(&mut self, call: &str) -> Option<FaultKind> {
        self.take_if(call, FaultKind::is_of_the_connection)
    }

    /// Takes the next fault of a webhook.
    pub(crate) fn take_of_webhooks(&mut self) -> Option<FaultKind> {
        self.take_if(WEBHOOKS, FaultKind::is_for_webhooks)
    }

    fn take_if(&mut self, call: &str, fits: impl Fn(FaultKind) -> bool) -> Option<FaultKind> {
        let place = self.0.iter().position(|fault| {
            fault.times > 0 && (fault.call == "*" || fault.call == call) && fits(fault.kind)
        })?;
        let fault = &mut self.0[place];
        fault.times -= 1;
        let kind = fault.kind;
        if fault.times == 0 {
            self.0.remove(place);
        }
        Some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(call: &str, kind: FaultKind) -> Fault {
        let call = call.to_owned();
        Fault {
            call,
            kind,
            times: 1,
        }
    }

    #[test]
    fn faults_of_webhooks_and_of_calls_do_not_mix() {
        let mut faults = Faults::default();
        faults.add(fault("*", FaultKind::Drop));
        faults.add(fault("*", FaultKind::ErrorAfter));
        assert_eq!(faults.take("refunds.create"), Some(FaultKind::ErrorAfter));
        assert_eq!(faults.take("refunds.create"), None);
        assert_eq!(faults.take_of_webhooks(), Some(FaultKind::Drop));
        assert!(!fault(WEBHOOKS, FaultKind::Slow).can_happen());
        assert!(!fault("refunds.create", FaultKind::Drop).can_happen());
        assert!(fault(WEBHOOKS, FaultKind::Reorder).can_happen());
    }

    #[test]
    fn a_replay_uses_up_only_what_breaks_the_line() {
        let mut faults = Faults::default();
        faults.add(fault("*", FaultKind::Declined));
        faults.add(fault("*", FaultKind::ResetAfter));
        assert_eq!(faults.take_on_replay("any"), Some(FaultKind::ResetAfter));
        assert_eq!(faults.take_on_replay("any"), None);
        assert_eq!(faults.take("any"), Some(FaultKind::Declined));
    }
}
