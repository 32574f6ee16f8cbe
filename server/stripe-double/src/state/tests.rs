//! Tests of the double's calls.

mod durability;
mod keys;
mod refunds;

use super::*;

const NOW: i64 = 1_800_000_000;

fn params(given: &[(&str, &str)]) -> Params {
    given
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// The answer as sent to the caller.
fn answered(answer: Answer) -> Reply {
    answer.unwrap_or_else(|refused| refused)
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
    answered(state.create_intent(&params(&given), NOW))
}

/// A captured intent.
fn paid(state: &mut State, card: &str) -> String {
    let made = id(&create(state, card));
    let taken = answered(state.capture_intent(&made, &Params::new(), NOW));
    assert_eq!(taken.1["status"], "succeeded");
    made
}

/// A state with a receiver of events.
fn with_receiver() -> State {
    let mut state = State::open(None).unwrap();
    listen(&mut state);
    state
}

fn listen(state: &mut State) {
    state.webhooks = Some(WebhookTarget {
        url: "http://127.0.0.1:9".to_owned(),
        secret: "whsec_test".to_owned(),
    });
}

/// The events so far, oldest first.
fn events(state: &State) -> Vec<Value> {
    let events = state.objects.events.iter();
    events
        .map(|event| serde_json::from_str(&event.payload).unwrap())
        .collect()
}

/// The types of the events so far.
fn kinds(state: &State) -> Vec<String> {
    let kind = |event: &Value| event["type"].as_str().unwrap().to_owned();
    events(state).iter().map(kind).collect()
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
    let taken = answered(state.capture_intent(&id(&made), &Params::new(), NOW));
    assert_eq!((taken.0, &taken.1["amount_received"]), (200, &json!(2500)));
    let again = answered(state.capture_intent(&id(&made), &Params::new(), NOW));
    assert_eq!(again.1["error"]["code"], "payment_intent_unexpected_state");
    let canceled = answered(state.cancel_intent(&id(&made), &Params::new(), NOW));
    assert_eq!(canceled.0, 400);
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
        answered(state.confirm_intent(&intent, &other, NOW)).1["status"],
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
        answered(state.show_intent(&id(&made))).1["status"],
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
    let token = id(&answered(state.create_card("ctoken_", &params(&card), NOW)));
    let given = [
        ("amount", "50"),
        ("currency", "jpy"),
        ("confirm", "true"),
        ("confirmation_token", token.as_str()),
    ];
    assert_eq!(answered(state.create_intent(&params(&given), NOW)).0, 200);
    let again = answered(state.create_intent(&params(&given), NOW));
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
        answered(state.create_card("ctoken_", &old, NOW)).1["error"]["code"],
        "invalid_expiry_year"
    );
}

#[test]
fn the_dashboard_captures_only_authorised_intents() {
    let mut state = with_receiver();
    let made = id(&create(&mut state, "pm_card_visa"));
    assert!(state.capture_at_dashboard(&made, NOW));
    assert!(!state.capture_at_dashboard(&made, NOW));
    assert!(!state.capture_at_dashboard("pi_none", NOW));
    assert_eq!(state.journal()[0].amount_received, 2500);
    assert_eq!(kinds(&state).last().unwrap(), "payment_intent.succeeded");
}

#[test]
fn an_intent_that_was_tampered_with_takes_the_wrong_amount() {
    let mut state = with_receiver();
    let made = id(&create(&mut state, "pm_card_visa"));
    assert!(state.set_amount(&made, 1));
    assert_eq!(answered(state.show_intent(&made)).1["amount_capturable"], 1);
    answered(state.capture_intent(&made, &Params::new(), NOW));
    assert_eq!(state.journal()[0].amount_received, 1);
    assert!(state.set_amount(&made, 9));
    assert_eq!(state.journal()[0].amount_received, 9);
    assert!(!state.set_amount(&made, 0));
    assert!(!state.set_amount("pi_none", 9));
}

#[test]
fn a_made_up_event_is_of_the_type_that_its_name_says() {
    let mut state = with_receiver();
    let made = paid(&mut state, "pm_card_visa");
    let refund = state.refund_at_dashboard(&made, 100, NOW).unwrap();
    let event = |name: &str| -> Value {
        serde_json::from_str(&state.event_payload(name, &made, NOW)).unwrap()
    };
    assert_eq!(event("evt_1")["type"], "payment_intent.succeeded");
    assert_eq!(event("evt_1")["data"]["object"]["id"], made.as_str());
    let charge = event("charge.refunded");
    assert_eq!(charge["type"], "charge.refunded");
    assert_eq!(charge["data"]["object"]["payment_intent"], made.as_str());
    let failed = event("refund.failed#2");
    assert_eq!(failed["id"], "refund.failed#2");
    assert_eq!(failed["type"], "refund.failed");
    assert_eq!(failed["data"]["object"]["id"], refund.as_str());
    assert_eq!(failed["data"]["object"]["payment_intent"], made.as_str());
}
