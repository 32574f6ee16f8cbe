//! Idempotency keys.

use super::*;
use crate::faults::{Fault, FaultKind};

const CALL: &str = "payment_intents.create";

#[test]
fn a_key_replays_its_first_answer_be_it_an_error() {
    let mut state = State::open(None).unwrap();
    assert_eq!(state.begin(CALL, Some("k"), "a").key_state, KeyState::New);
    let error = (500, json!({"error": {"type": "api_error"}}));
    state.remember("k", "a", &Ok(error.clone()));
    state.release_key("k");
    let known = state.begin(CALL, Some("k"), "a");
    assert_eq!(known.key_state, KeyState::Known(error));
    assert!(!known.has_key);
}

#[test]
fn a_key_is_refused_for_anything_but_its_first_call() {
    let mut state = State::open(None).unwrap();
    state.remember("k", "a", &Ok((200, json!({}))));
    let KeyState::Refused((status, body)) = state.begin(CALL, Some("k"), "b").key_state else {
        panic!("other parameters were taken");
    };
    assert_eq!(status, 400);
    assert_eq!(body["error"]["type"], "idempotency_error");
}

#[test]
fn a_key_is_in_use_until_its_call_is_over() {
    let mut state = State::open(None).unwrap();
    assert!(state.begin(CALL, Some("k"), "a").has_key);
    let KeyState::Refused((status, body)) = state.begin(CALL, Some("k"), "a").key_state else {
        panic!("the key was taken twice");
    };
    assert_eq!(status, 409);
    assert_eq!(body["error"]["code"], "idempotency_key_in_use");
    state.release_key("k");
    assert_eq!(state.begin(CALL, Some("k"), "a").key_state, KeyState::New);
}

#[test]
fn refused_parameters_leave_a_key_unused() {
    let mut state = State::open(None).unwrap();
    let refused = state.create_intent(&params(&[("amount", "0")]), NOW);
    assert!(refused.is_err());
    state.remember("k", "a", &refused);
    assert_eq!(state.begin(CALL, Some("k"), "a").key_state, KeyState::New);
    // A refusal by the intent's state is stored like any answer.
    let made = paid(&mut state, "pm_card_visa");
    let moved = state.capture_intent(&made, &Params::new(), NOW);
    state.remember("again", "a", &moved);
    let known = state.begin(CALL, Some("again"), "a").key_state;
    assert_eq!(known, KeyState::Known(moved.unwrap()));
}

#[test]
fn a_call_that_is_stopped_at_the_door_leaves_its_key_unused() {
    let mut state = State::open(None).unwrap();
    for kind in [
        FaultKind::ErrorBefore,
        FaultKind::ResetBefore,
        FaultKind::TimeoutBefore,
        FaultKind::RateLimited,
    ] {
        let call = CALL.to_owned();
        state.faults.add(Fault {
            call,
            kind,
            times: 1,
        });
        let begun = state.begin(CALL, Some("k"), "a");
        assert_eq!((begun.fault, begun.has_key), (Some(kind), false));
    }
    assert!(state.begin(CALL, Some("k"), "a").has_key);
}
