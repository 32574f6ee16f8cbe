//! Idempotency keys, like Stripe's: the first answer for a key, including errors, is replayed; other
//! parameters under the same key are refused, and so is a second call while the first is in progress. Keys
//! are shared by all kinds of calls.
//!
//! Answers are not kept if a call did not begin: invalid parameters, unknown objects, 409 and 429. Unlike
//! Stripe's, keys do not expire after a day.

use super::State;
use crate::reply::{Answer, Reply};
use crate::{
    faults::FaultKind,
    model::{Answered, Record},
};
use serde_json::json;

/// The state of a key when a call arrives.
#[derive(Debug, PartialEq)]
pub(crate) enum KeyState {
    /// The call is to be executed.
    New,
    /// The call has been executed, with this answer.
    Known(Reply),
    /// The call must not be executed.
    Refused(Reply),
}

/// How a call proceeds.
pub(crate) struct BegunCall {
    pub key_state: KeyState,
    pub fault: Option<FaultKind>,
    /// Whether the key is locked until [`State::release_key`].
    pub has_key: bool,
}

impl State {
    /// Begins a call: determines the state of its key and its fault, and locks the key if it is to be executed.
    pub(crate) fn begin(&mut self, call: &str, key: Option<&str>, request: &str) -> BegunCall {
        let key_state = key.map_or(KeyState::New, |key| self.key_state(key, request));
        let fault = if key_state == KeyState::New {
            self.faults.take(call)
        } else {
            self.faults.take_on_replay(call)
        };
        // A call that does not begin leaves its key new.
        let is_made = key_state == KeyState::New && !fault.is_some_and(FaultKind::stops_the_call);
        let key = key.filter(|_| is_made);
        if let Some(key) = key {
            self.in_flight.insert(key.to_owned());
        }
        BegunCall {
            key_state,
            fault,
            has_key: key.is_some(),
        }
    }

    fn key_state(&self, key: &str, request: &str) -> KeyState {
        if self.in_flight.contains(key) {
            let message = format!(
                "There is currently another in-progress request using this Idempotent Key (that \
                 probably means you submitted twice, and the other request is still going \
                 through): {key}. Please try again later."
            );
            let error = json!({"type": "invalid_request_error", "code": "idempotency_key_in_use",
                "message": message});
            return KeyState::Refused((409, json!({"error": error})));
        }
        match self.objects.answered.get(key) {
            None => KeyState::New,
            Some(answered) if answered.request == request => {
                KeyState::Known((answered.status, answered.body.clone()))
            }
            Some(_) => {
                let message = format!(
                    "Keys for idempotent requests can only be used with the same parameters they \
                     were first used with. Try using a key other than '{key}' if you meant to \
                     execute a different request."
                );
                let error = json!({"type": "idempotency_error", "message": message});
                KeyState::Refused((400, json!({"error": error})))
            }
        }
    }

    pub(crate) fn release_key(&mut self, key: &str) {
        self.in_flight.remove(key);
    }

    /// Stores a call's answer for its key, if the call began.
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
