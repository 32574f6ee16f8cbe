//! Idempotency keys, as Stripe keeps them: the first answer to a key is the answer for ever, be it
//! an error; other parameters under the same key are refused, and so is a second call while the
//! first is being made. A key stands by itself, whatever call it is used for.
//!
//! Answers are not kept if a call never began: refused parameters, objects that do not exist, 409
//! and 429. Unlike with Stripe, keys do not run out after a day.

use super::State;
use crate::reply::{Answer, Reply};
use crate::{
    faults::FaultKind,
    model::{Answered, Record},
};
use serde_json::json;

/// What a key says about a call.
#[derive(Debug, PartialEq)]
pub(crate) enum Standing {
    /// Nothing: the call is to be made.
    New,
    /// It has been made, and this was the answer.
    Known(Reply),
    /// It must not be made.
    Refused(Reply),
}

/// What is to become of a call.
pub(crate) struct Begun {
    pub standing: Standing,
    /// What goes wrong with it.
    pub fault: Option<FaultKind>,
    /// The key is this call's until [`State::release_key`].
    pub has_key: bool,
}

impl State {
    /// A call has come in: what its key says, what goes wrong with it; and its key is in use, if
    /// the call is to be made.
    pub(crate) fn begin(&mut self, call: &str, key: Option<&str>, request: &str) -> Begun {
        let standing = key.map_or(Standing::New, |key| self.standing(key, request));
        let fault = if standing == Standing::New {
            self.faults.take(call)
        } else {
            self.faults.take_on_replay(call)
        };
        // A call that is stopped at the door has never been seen.
        let is_made = standing == Standing::New && !fault.is_some_and(FaultKind::stops_the_call);
        let key = key.filter(|_| is_made);
        if let Some(key) = key {
            self.in_flight.insert(key.to_owned());
        }
        Begun {
            standing,
            fault,
            has_key: key.is_some(),
        }
    }

    fn standing(&self, key: &str, request: &str) -> Standing {
        if self.in_flight.contains(key) {
            let message = format!(
                "There is currently another in-progress request using this Idempotent Key (that \
                 probably means you submitted twice, and the other request is still going \
                 through): {key}. Please try again later."
            );
            let error = json!({"type": "invalid_request_error", "code": "idempotency_key_in_use",
                "message": message});
            return Standing::Refused((409, json!({"error": error})));
        }
        match self.objects.answered.get(key) {
            None => Standing::New,
            Some(answered) if answered.request == request => {
                Standing::Known((answered.status, answered.body.clone()))
            }
            Some(_) => {
                let message = format!(
                    "Keys for idempotent requests can only be used with the same parameters they \
                     were first used with. Try using a key other than '{key}' if you meant to \
                     execute a different request."
                );
                let error = json!({"type": "idempotency_error", "message": message});
                Standing::Refused((400, json!({"error": error})))
            }
        }
    }

    /// The call is over, whatever it came to.
    pub(crate) fn release_key(&mut self, key: &str) {
        self.in_flight.remove(key);
    }

    /// Keeps a call's answer for its key, if the call began.
    pub(crate) fn remember(&mut self, key: &str, request: &str, answer: &Answer) {
        let Ok((status, body)) = answer else { return };
        self.keep(Record::Answered(Answered {
            key: key.to_owned(),
            request: request.to_owned(),
            status: *status,
            body: body.clone(),
        }));
    }
}
