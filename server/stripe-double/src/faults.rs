//! What goes wrong on demand: with calls, and with the deliveries of webhooks.
//!
//! `POST /double/faults` takes `{"call": …, "fault": …, "times": …}`, or `{"faults": [ … ]}` of
//! them; `DELETE /double/faults` ends them all. `times` is 1 if missing. The oldest fault that fits
//! is used up first. Faults are kept in memory: a restart ends them.
//!
//! For calls; `call` is one of `payment_intents.create`, `.list`, `.retrieve`, `.confirm`,
//! `.capture`, `.cancel`, `refunds.create`, `.list`, `.retrieve`, `disputes.list`, `.retrieve`,
//! `payment_methods.create`, or `*` for all of them:
//!
//! | `fault` | done? | the caller gets | the same key afterwards |
//! |---|---|---|---|
//! | `timeout_before` | no | nothing for a minute, then a broken answer | is new |
//! | `timeout_after` | yes | nothing for a minute, then a broken answer | replays the answer |
//! | `error_before` | no | 500: the call got no further than Stripe's door | is new |
//! | `error_after` | yes | 500 | replays the 500 |
//! | `error_instead` | no | 500: it began, and nothing came of it | replays the 500 |
//! | `reset_before` | no | a broken answer | is new |
//! | `reset_after` | yes | a broken answer | replays the answer |
//! | `rate_limited` | no | 429 | is new |
//! | `invalid` | no | 400: refused for what it says | is new |
//! | `slow` | yes | the answer, 1.5 s late | is in use until then: 409 |
//! | `declined` | yes | 402: the card is refused, whichever it is | replays the 402 |
//! | `requires_action` | yes | 3-D Secure, whichever card it is | replays the answer |
//!
//! Whatever breaks the line also breaks it for a replay, and for an answer that a key was misused.
//! `error_after`, `error_instead`, `declined` and `requires_action` wait for a call that is not a
//! replay.
//!
//! For deliveries; `call` is `webhooks` (or `*`). An event meets its fault when it is first about
//! to be sent:
//!
//! | `fault` | what happens to the event |
//! |---|---|
//! | `duplicate` | delivered twice, one right after the other |
//! | `reorder` | held back until a later event has been taken, and delivered right after it |
//! | `drop` | never delivered; it counts as taken |
//! | `bad_signature` | sent with a wrong signature, then again, after a pause, with the right one |

use serde::{Deserialize, Serialize};

/// The name under which faults of deliveries are set.
pub(crate) const WEBHOOKS: &str = "webhooks";

/// What goes wrong. The first twelve are for calls, the last four for webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// No answer for a minute, and nothing done.
    TimeoutBefore,
    /// Done, and no answer for a minute.
    TimeoutAfter,
    /// 500, and nothing done; nor is it remembered under the key.
    ErrorBefore,
    /// Done, then 500: which the same key replays.
    ErrorAfter,
    /// Begun and not done, then 500: which the same key replays.
    ErrorInstead,
    /// The connection breaks, and nothing was done.
    ResetBefore,
    /// Done, then the connection breaks.
    ResetAfter,
    /// 429, and nothing done.
    RateLimited,
    /// 400, and nothing done: the call is refused for what it says.
    Invalid,
    /// Done, but a second and a half late. Its key is in use until then.
    Slow,
    /// The card is refused, whichever it is.
    Declined,
    /// The bank wants to hear from the buyer, whichever card it is.
    RequiresAction,
    /// A webhook is delivered twice.
    Duplicate,
    /// A webhook is held back until a later one has been taken.
    Reorder,
    /// A webhook is never delivered, and counts as taken.
    Drop,
    /// A webhook's first delivery has a wrong signature; the next is as it should be.
    BadSignature,
}

impl FaultKind {
    /// Whether it happens to deliveries of webhooks, and not to calls.
    pub fn is_for_webhooks(self) -> bool {
        matches!(
            self,
            Self::Duplicate | Self::Reorder | Self::Drop | Self::BadSignature
        )
    }

    /// Whether the call never reaches whatever would do it.
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

    /// Whether it happens to the line, whatever is asked or answered over it.
    fn is_of_the_line(self) -> bool {
        self.stops_the_call() || matches!(self, Self::TimeoutAfter | Self::ResetAfter | Self::Slow)
    }
}

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which call: `payment_intents.create`, `.confirm`, `.capture`, `.cancel`, `.retrieve`,
    /// `.list`, `refunds.create`, `.retrieve`, `.list`, `payment_methods.create`, or `*` for all;
    /// `webhooks` for deliveries.
    pub call: String,
    /// What.
    #[serde(rename = "fault")]
    pub kind: FaultKind,
    /// How often; once if missing.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

impl Fault {
    /// Whether it can ever happen: what is for webhooks happens to no call, nor the other way
    /// round.
    pub fn can_happen(&self) -> bool {
        self.call == "*" || (self.call == WEBHOOKS) == self.kind.is_for_webhooks()
    }
}

/// What is still to go wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    /// Adds to what goes wrong.
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// Nothing any more.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// What goes wrong with this call, if anything; uses it up.
    pub(crate) fn take(&mut self, call: &str) -> Option<FaultKind> {
        self.take_if(call, |kind| !kind.is_for_webhooks())
    }

    /// What goes wrong with a call that is answered from memory.
    pub(crate) fn take_on_replay(&mut self, call: &str) -> Option<FaultKind> {
        self.take_if(call, FaultKind::is_of_the_line)
    }

    /// What goes wrong with the next webhook.
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
