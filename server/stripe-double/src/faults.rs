//! What goes wrong on demand.

use serde::{Deserialize, Serialize};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// No answer for a minute, and nothing done.
    TimeoutBefore,
    /// Done, and no answer for a minute.
    TimeoutAfter,
    /// 500, and nothing done.
    ErrorBefore,
    /// Done, then 500: which the same key replays.
    ErrorAfter,
    /// The connection breaks, and nothing was done.
    ResetBefore,
    /// Done, then the connection breaks.
    ResetAfter,
    /// 429, and nothing done.
    RateLimited,
    /// Done, but a second and a half late.
    Slow,
    /// The card is refused, whichever it is.
    Declined,
    /// The bank wants to hear from the buyer, whichever card it is.
    RequiresAction,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which call: `payment_intents.create`, `.confirm`, `.capture`, `.cancel`, `.retrieve`,
    /// `.list`, `refunds.create`, or `*` for all.
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

/// What is still to go wrong.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Adds to what goes wrong.
    pub fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// Nothing any more.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// What goes wrong with this call, if anything; uses it up.
    pub fn take(&mut self, call: &str) -> Option<FaultKind> {
        let place = self
            .0
            .iter()
            .position(|fault| fault.times > 0 && (fault.call == "*" || fault.call == call))?;
        let fault = &mut self.0[place];
        fault.times -= 1;
        let kind = fault.kind;
        if fault.times == 0 {
            self.0.remove(place);
        }
        Some(kind)
    }
}
