//! Calls: what a key replays, what breaks on the way, and what is asked on top of Stripe.

use crate::support::{Folder, Stripe};
use serde_json::{Value, json};
use std::time::Duration;
use stripe_double::{Double, FaultKind};

const INTENTS: &str = "/v1/payment_intents";
const CREATE: &str = "payment_intents.create";
const FORM: [(&str, &str); 3] = [
    ("amount", "2500"),
    ("currency", "gbp"),
    ("metadata[order_id]", "o1"),
];

#[tokio::test]
async fn a_repeated_call_is_answered_from_memory_and_says_so() {
    let stripe = Stripe::start(None).await;
    let first = stripe.post(INTENTS, "k", &FORM).await.unwrap();
    let again = stripe.post(INTENTS, "k", &FORM).await.unwrap();
    assert!(!first.is_replay && again.is_replay);
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    let other = [("amount", "2501"), ("currency", "gbp")];
    let misused = stripe.post(INTENTS, "k", &other).await.unwrap();
    assert_eq!(misused.status, 400);
    assert_eq!(misused.body["error"]["type"], "idempotency_error");
    // The key is no other for another call.
    let misused = stripe.post("/v1/refunds", "k", &FORM).await.unwrap();
    assert_eq!(misused.body["error"]["type"], "idempotency_error");
    assert_eq!(stripe.double.journal().len(), 1);
}

#[tokio::test]
async fn an_error_is_replayed_although_the_call_was_made() {
    let stripe = Stripe::start(None).await;
    stripe.fault(CREATE, FaultKind::ErrorAfter);
    for is_replay in [false, true] {
        let broken = stripe.post(INTENTS, "k", &FORM).await.unwrap();
        assert_eq!((broken.status, broken.is_replay), (500, is_replay));
    }
    assert_eq!(stripe.double.journal().len(), 1);
}

#[tokio::test]
async fn an_error_is_replayed_although_nothing_was_made() {
    let stripe = Stripe::start(None).await;
    stripe.fault(CREATE, FaultKind::ErrorInstead);
    for is_replay in [false, true] {
        let broken = stripe.post(INTENTS, "k", &FORM).await.unwrap();
        assert_eq!((broken.status, broken.is_replay), (500, is_replay));
    }
    assert!(stripe.double.journal().is_empty());
    let made = stripe.post(INTENTS, "another", &FORM).await.unwrap();
    assert_eq!(made.status, 200);
}

#[tokio::test]
async fn a_key_is_in_use_while_its_call_is_slow() {
    let stripe = Stripe::start(None).await;
    stripe.fault(CREATE, FaultKind::Slow);
    let slow = stripe.post(INTENTS, "k", &FORM);
    // A second and a half is left to ask again in.
    let meanwhile = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        stripe.post(INTENTS, "k", &FORM).await.unwrap()
    };
    let (first, second) = tokio::join!(slow, meanwhile);
    assert_eq!(second.status, 409);
    assert_eq!(second.body["error"]["code"], "idempotency_key_in_use");
    assert_eq!(first.unwrap().status, 200);
    let replayed = stripe.post(INTENTS, "k", &FORM).await.unwrap();
    assert!(replayed.is_replay);
    assert_eq!(stripe.double.journal().len(), 1);
}

#[tokio::test]
async fn a_caller_that_hangs_up_undoes_nothing() {
    let stripe = Stripe::start(None).await;
    stripe.fault(CREATE, FaultKind::Slow);
    let call = stripe.post(INTENTS, "k", &FORM);
    let hung_up = tokio::time::timeout(Duration::from_millis(200), call).await;
    assert!(hung_up.is_err());
    while stripe.double.journal().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let replayed = stripe.post(INTENTS, "k", &FORM).await.unwrap();
    assert!(replayed.is_replay);
}

#[tokio::test]
async fn a_broken_line_breaks_replays_too() {
    let stripe = Stripe::start(None).await;
    stripe.fault(CREATE, FaultKind::ResetAfter);
    stripe.fault("*", FaultKind::ResetBefore);
    assert!(stripe.post(INTENTS, "k", &FORM).await.is_err());
    assert!(stripe.post(INTENTS, "k", &FORM).await.is_err());
    assert!(stripe.post(INTENTS, "k", &FORM).await.unwrap().is_replay);
    assert_eq!(stripe.double.journal().len(), 1);
}

#[tokio::test]
async fn refunds_are_made_shown_and_listed_over_the_wire() {
    let stripe = Stripe::start(None).await;
    let paid = stripe.pay("pm_card_visa").await;
    let form = [("payment_intent", paid.as_str()), ("amount", "100")];
    let made = stripe.post("/v1/refunds", "k", &form).await.unwrap().body;
    let id = made["id"].as_str().unwrap();
    assert_eq!(stripe.get(&format!("/v1/refunds/{id}")).await, made);
    let listed = stripe
        .get(&format!("/v1/refunds?payment_intent={paid}&limit=3"))
        .await;
    assert_eq!(listed["data"], json!([made]));
    assert_eq!(listed["has_more"], false);
}

#[tokio::test]
async fn the_journal_is_read_from_the_file_while_the_double_runs() {
    let folder = Folder::new("stripe-double-journal");
    let stripe = Stripe::start(Some(folder.0.clone())).await;
    let paid = stripe.pay("pm_card_visa").await;
    stripe.double.refund_at_dashboard(&paid, 100).unwrap();
    let lines = Double::read_journal(&folder.0).unwrap();
    assert_eq!(lines, stripe.double.journal());
    let shown = stripe.get("/double/journal").await;
    let line = json!({
        "id": paid, "status": "succeeded", "amount": 2500, "amountReceived": 2500,
        "amountRefunded": 100, "currency": "gbp", "metadata": {},
    });
    assert_eq!(shown, json!({"payments": [line]}));
}

#[tokio::test]
async fn a_fault_that_can_never_happen_is_refused() {
    let stripe = Stripe::start(None).await;
    let set = async |fault: Value| {
        let url = format!("{}/double/faults", stripe.url);
        let sent = reqwest::Client::new().post(url).json(&fault).send();
        sent.await.unwrap().status().as_u16()
    };
    assert_eq!(set(json!({"call": "webhooks", "fault": "drop"})).await, 204);
    let many = json!({"faults": [{"call": CREATE, "fault": "declined", "times": 2}]});
    assert_eq!(set(many).await, 204);
    assert_eq!(set(json!({"call": "webhooks", "fault": "slow"})).await, 400);
    assert_eq!(set(json!({"call": CREATE, "fault": "reorder"})).await, 400);
    assert_eq!(set(json!({"call": CREATE, "fault": "none"})).await, 422);
}
