//! Webhooks: delivered until they are taken, and how deliveries go wrong.

use crate::support::{Delivered, Folder, Receiver, START, Stripe};
use std::{sync::atomic::Ordering, time::Duration};
use stripe_double::FaultKind;

async fn stripe_and_receiver(answers: &[u16]) -> (Stripe, Receiver) {
    let stripe = Stripe::start(None).await;
    let receiver = Receiver::start(answers).await;
    stripe.listen(&receiver);
    (stripe, receiver)
}

/// The intents that were told of, in the order of telling.
fn intents(delivered: &[Delivered]) -> Vec<String> {
    let id = |it: &Delivered| it.object["id"].as_str().unwrap().to_owned();
    delivered.iter().map(id).collect()
}

#[tokio::test]
async fn a_duplicate_is_the_same_event_twice() {
    let (stripe, receiver) = stripe_and_receiver(&[]).await;
    stripe.fault("webhooks", FaultKind::Duplicate);
    let first = stripe.pay("pm_card_visa").await;
    let second = stripe.pay("pm_card_visa").await;
    stripe.deliver().await;
    let delivered = receiver.delivered();
    assert_eq!(intents(&delivered), [first.clone(), first, second]);
    assert_eq!(delivered[0].id, delivered[1].id);
}

#[tokio::test]
async fn an_event_out_of_order_comes_after_the_next() {
    let (stripe, receiver) = stripe_and_receiver(&[]).await;
    stripe.fault("webhooks", FaultKind::Reorder);
    let first = stripe.pay("pm_card_visa").await;
    // Nobody waits for what is held back.
    stripe.deliver().await;
    assert_eq!(receiver.delivered(), []);
    let second = stripe.pay("pm_card_visa").await;
    let third = stripe.pay("pm_card_visa").await;
    stripe.deliver().await;
    assert_eq!(intents(&receiver.delivered()), [second, first, third]);
}

#[tokio::test]
async fn what_is_held_back_goes_out_when_faults_end() {
    let (stripe, receiver) = stripe_and_receiver(&[]).await;
    stripe.fault("*", FaultKind::Reorder);
    let held = stripe.pay("pm_card_visa").await;
    stripe.deliver().await;
    stripe.double.clear_faults();
    stripe.deliver().await;
    assert_eq!(intents(&receiver.delivered()), [held]);
}

#[tokio::test]
async fn a_dropped_event_never_comes() {
    let (stripe, receiver) = stripe_and_receiver(&[]).await;
    stripe.fault("webhooks", FaultKind::Drop);
    stripe.pay("pm_card_visa").await;
    let second = stripe.pay("pm_card_visa").await;
    stripe.deliver().await;
    assert_eq!(intents(&receiver.delivered()), [second]);
}

#[tokio::test]
async fn a_wrong_signature_is_followed_by_the_right_one() {
    let (stripe, receiver) = stripe_and_receiver(&[]).await;
    stripe.fault("webhooks", FaultKind::BadSignature);
    stripe.pay("pm_card_visa").await;
    stripe.deliver().await;
    let delivered = receiver.delivered();
    let genuine: Vec<bool> = delivered.iter().map(|it| it.is_genuine).collect();
    assert_eq!(genuine, [false, true]);
    assert_eq!(delivered[0].id, delivered[1].id);
}

#[tokio::test]
async fn an_event_that_is_refused_holds_up_no_other_and_comes_again() {
    let (stripe, receiver) = stripe_and_receiver(&[500]).await;
    let first = stripe.pay("pm_card_visa").await;
    let second = stripe.pay("pm_card_visa").await;
    stripe.deliver().await;
    assert_eq!(
        intents(&receiver.delivered()),
        [first.clone(), second, first]
    );
}

#[tokio::test]
async fn events_that_were_not_taken_survive_a_restart() {
    let folder = Folder::new("stripe-double-events");
    let stripe = Stripe::start(Some(folder.0.clone())).await;
    let receiver = Receiver::start(&[200, 500]).await;
    stripe.listen(&receiver);
    stripe.pay("pm_card_visa").await;
    let refused = stripe.pay("pm_card_visa").await;
    let deliveries = tokio::spawn(stripe.double.clone().run_webhooks());
    while receiver.delivered().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Within the first pause: as if the process was killed.
    deliveries.abort();
    let restarted = Stripe::start(Some(folder.0.clone())).await;
    restarted.listen(&receiver);
    restarted.deliver().await;
    let delivered = receiver.delivered();
    assert_eq!(delivered.len(), 3);
    assert_eq!(delivered[2].id, delivered[1].id);
    assert_eq!(intents(&delivered)[2], refused);
    // What has been taken stays taken.
    let again = Stripe::start(Some(folder.0.clone())).await;
    again.listen(&receiver);
    again.deliver().await;
    assert_eq!(receiver.delivered().len(), 3);
}

#[tokio::test]
async fn deliveries_notice_that_a_refund_is_due() {
    let (stripe, receiver) = stripe_and_receiver(&[]).await;
    let paid = stripe.pay("pm_card_pendingRefund").await;
    stripe.double.refund_at_dashboard(&paid, 100).unwrap();
    stripe.deliver().await;
    let deliveries = tokio::spawn(stripe.double.clone().run_webhooks());
    stripe.clock.store(START + 2, Ordering::SeqCst);
    while receiver.delivered().last().unwrap().kind != "refund.updated" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    deliveries.abort();
    let told = receiver.delivered().pop().unwrap().object;
    assert_eq!(
        (told["status"].as_str(), told["payment_intent"].as_str()),
        (Some("succeeded"), Some(paid.as_str()))
    );
}
