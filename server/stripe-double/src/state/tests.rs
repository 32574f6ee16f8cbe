//! What the double does to its objects, call by call.

use super::*;

const NOW: i64 = 1_800_000_000;

fn params(given: &[(&str, &str)]) -> Params {
    given
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn create(state: &mut State, card: &str) -> Reply {
    let given = [
        ("amount", "2500"),
        ("currency", "gbp"),
        ("capture_method", "manual"),
        ("confirm", "true"),
        ("payment_method", card),
        ("metadata[order_id]", "o1"),
    ];
    state.create_intent(&params(&given), NOW)
}

fn id(reply: &Reply) -> String {
    reply.1["id"].as_str().unwrap().to_owned()
}

#[test]
fn an_authorisation_is_captured_once() {
    let mut state = State::open(None).unwrap();
    let made = create(&mut state, "pm_card_visa");
    assert_eq!(
        (made.0, &made.1["status"]),
        (200, &json!("requires_capture"))
    );
    assert_eq!(made.1["metadata"], json!({"order_id": "o1"}));
    let taken = state.capture_intent(&id(&made), &Params::new(), NOW);
    assert_eq!((taken.0, &taken.1["amount_received"]), (200, &json!(2500)));
    let again = state.capture_intent(&id(&made), &Params::new(), NOW);
    assert_eq!(again.1["error"]["code"], "payment_intent_unexpected_state");
    assert_eq!(state.cancel_intent(&id(&made), &Params::new(), NOW).0, 400);
    assert_eq!(state.journal()[0].amount_received, 2500);
}

#[test]
fn a_declined_card_leaves_an_intent_that_takes_another() {
    let mut state = State::open(None).unwrap();
    let refused = create(&mut state, "pm_card_chargeDeclinedInsufficientFunds");
    assert_eq!(refused.0, 402);
    assert_eq!(refused.1["error"]["decline_code"], "insufficient_funds");
    let intent = refused.1["error"]["payment_intent"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let other = params(&[("payment_method", "pm_card_visa")]);
    assert_eq!(
        state.confirm_intent(&intent, &other, NOW).1["status"],
        "requires_capture"
    );
}

#[test]
fn the_bank_is_asked_and_answers_once() {
    let mut state = State::open(None).unwrap();
    let made = create(&mut state, "pm_card_threeDSecure2Required");
    assert_eq!(made.1["next_action"]["type"], "redirect_to_url");
    assert!(state.answer_at_bank(&id(&made), true, NOW));
    assert!(!state.answer_at_bank(&id(&made), false, NOW));
    assert_eq!(
        state.show_intent(&id(&made)).1["status"],
        "requires_capture"
    );
}

#[test]
fn a_confirmation_token_serves_one_intent() {
    let mut state = State::open(None).unwrap();
    let card = [
        ("card[number]", "4242424242424242"),
        ("card[exp_month]", "12"),
        ("card[exp_year]", "40"),
        ("card[cvc]", "123"),
    ];
    let token = id(&state.create_card("ctoken_", &params(&card), NOW));
    let given = [
        ("amount", "5"),
        ("currency", "jpy"),
        ("confirm", "true"),
        ("confirmation_token", token.as_str()),
    ];
    assert_eq!(state.create_intent(&params(&given), NOW).0, 200);
    let again = state.create_intent(&params(&given), NOW);
    assert_eq!(
        (again.0, &again.1["error"]["param"]),
        (400, &json!("confirmation_token"))
    );
    let old = params(&[
        ("card[number]", "4242424242424242"),
        ("card[exp_month]", "1"),
        ("card[exp_year]", "20"),
        ("card[cvc]", "123"),
    ]);
    assert_eq!(
        state.create_card("ctoken_", &old, NOW).1["error"]["code"],
        "invalid_expiry_year"
    );
}

#[test]
fn what_was_answered_survives_a_restart() {
    let folder = std::env::temp_dir().join(new_id("stripe-double-"));
    let mut state = State::open(Some(folder.clone())).unwrap();
    let made = create(&mut state, "pm_card_visa");
    state.remember("key", "request", &made);
    drop(state);
    let state = State::open(Some(folder.clone())).unwrap();
    assert_eq!(state.show_intent(&id(&made)).1, made.1);
    assert_eq!(state.answered("key", "request"), Some(Ok(made)));
    assert!(state.answered("key", "another request").unwrap().is_err());
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn refunds_end_at_what_was_taken() {
    let mut state = State::open(None).unwrap();
    let made = create(&mut state, "pm_card_visa");
    state.capture_intent(&id(&made), &Params::new(), NOW);
    let part = params(&[("payment_intent", &id(&made)), ("amount", "1000")]);
    assert_eq!(state.create_refund(&part, NOW).0, 200);
    let rest = params(&[("payment_intent", &id(&made))]);
    assert_eq!(state.create_refund(&rest, NOW).1["amount"], 1500);
    assert_eq!(
        state.create_refund(&rest, NOW).1["error"]["code"],
        "charge_already_refunded"
    );
}
