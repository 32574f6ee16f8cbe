//! Refunds: immediate, delayed, failed, and limited to the remaining amount.

use super::*;
use crate::model::DisputeStatus;

fn refund(state: &mut State, intent: &str, amount: &str) -> Reply {
    let given = [
        ("payment_intent", intent),
        ("amount", amount),
        ("reason", "requested_by_customer"),
        ("metadata[refund_id]", "r1"),
    ];
    answered(state.create_refund(&params(&given), NOW))
}

fn status(state: &State, refund: &str) -> String {
    let shown = answered(state.show_refund(refund)).1;
    shown["status"].as_str().unwrap().to_owned()
}

fn refunded(state: &State) -> i64 {
    state.journal()[0].amount_refunded
}

#[test]
fn refunds_end_at_what_was_taken() {
    let mut state = with_receiver();
    let made = paid(&mut state, "pm_card_visa");
    assert_eq!(refund(&mut state, &made, "1000").0, 200);
    assert_eq!(
        refund(&mut state, &made, "1501").1["error"]["param"],
        "amount"
    );
    let rest = params(&[("payment_intent", &made)]);
    assert_eq!(answered(state.create_refund(&rest, NOW)).1["amount"], 1500);
    let more = answered(state.create_refund(&rest, NOW));
    assert_eq!(more.1["error"]["code"], "charge_already_refunded");
    assert_eq!(refunded(&state), 2500);
}

#[test]
fn what_was_not_taken_is_not_given_back() {
    let mut state = with_receiver();
    let made = id(&create(&mut state, "pm_card_visa"));
    assert_eq!(refund(&mut state, &made, "1").0, 400);
    assert_eq!(refund(&mut state, "pi_none", "1").0, 404);
    assert_eq!(state.refund_at_dashboard(&made, 1, NOW), None);
    assert!(state.objects.refunds.get("none").is_none());
}

#[test]
fn a_refund_has_the_shape_that_stripe_gives_it() {
    let mut state = with_receiver();
    let made = paid(&mut state, "pm_card_visa");
    let given = refund(&mut state, &made, "1000").1;
    assert_eq!(given["object"], "refund");
    assert_eq!(given["status"], "succeeded");
    assert_eq!(given["amount"], 1000);
    assert_eq!(given["currency"], "gbp");
    assert_eq!(given["created"], NOW);
    assert_eq!(given["payment_intent"], made.as_str());
    assert_eq!(given["reason"], "requested_by_customer");
    assert_eq!(given["metadata"], json!({"refund_id": "r1"}));
    assert!(given["charge"].as_str().unwrap().starts_with("ch_"));
    let sent = events(&state);
    let sent = &sent[sent.len() - 2..];
    assert_eq!(sent[0]["type"], "refund.created");
    assert_eq!(sent[0]["data"]["object"], given);
    assert_eq!(sent[1]["type"], "charge.refunded");
    let charge = &sent[1]["data"]["object"];
    assert_eq!(charge["payment_intent"], made.as_str());
    assert_eq!(charge["amount_refunded"], 1000);
}

#[test]
fn a_pending_refund_succeeds_two_seconds_later() {
    let mut state = with_receiver();
    let made = paid(&mut state, "pm_card_pendingRefund");
    let given = refund(&mut state, &made, "1000");
    assert_eq!(given.1["status"], "pending");
    assert_eq!(refunded(&state), 1000);
    state.settle_due(NOW + 1);
    assert_eq!(status(&state, &id(&given)), "pending");
    state.settle_due(NOW + 2);
    assert_eq!(status(&state, &id(&given)), "succeeded");
    assert_eq!(kinds(&state).last().unwrap(), "refund.updated");
    let sent = events(&state).len();
    state.settle_due(NOW + 3);
    assert_eq!(events(&state).len(), sent);
}

#[test]
fn a_refund_that_fails_gives_its_amount_back() {
    let mut state = with_receiver();
    let card = [
        ("card[number]", "4000000000005126"),
        ("card[exp_month]", "12"),
        ("card[exp_year]", "40"),
        ("card[cvc]", "123"),
    ];
    let token = id(&answered(state.create_card("pm_", &params(&card), NOW)));
    let made = paid(&mut state, &token);
    let given = refund(&mut state, &made, "2500");
    assert_eq!(given.1["status"], "succeeded");
    assert_eq!(refunded(&state), 2500);
    state.settle_due(NOW + 2);
    let shown = answered(state.show_refund(&id(&given))).1;
    assert_eq!(shown["status"], "failed");
    assert_eq!(shown["failure_reason"], "expired_or_canceled_card");
    assert_eq!(refunded(&state), 0);
    let sent = kinds(&state);
    assert_eq!(sent[sent.len() - 2..], ["refund.failed", "refund.updated"]);
    // A failed refund can be repeated.
    assert_eq!(refund(&mut state, &made, "2500").0, 200);
}

#[test]
fn a_test_decides_how_a_refund_ends() {
    let mut state = with_receiver();
    let made = paid(&mut state, "pm_card_pendingRefund");
    let given = id(&refund(&mut state, &made, "2500"));
    assert!(state.settle_refund(&given, false, NOW));
    assert_eq!(
        (status(&state, &given), refunded(&state)),
        ("failed".to_owned(), 0)
    );
    assert!(!state.settle_refund(&given, true, NOW));
    let plain = paid(&mut state, "pm_card_visa");
    let plain = id(&refund(&mut state, &plain, "2500"));
    assert!(state.settle_refund(&plain, true, NOW));
    assert!(state.settle_refund(&plain, false, NOW));
    assert_eq!(status(&state, &plain), "failed");
    assert!(!state.settle_refund("re_none", true, NOW));
    // No scheduled end is left.
    assert!(!state.has_unsettled());
}

#[test]
fn a_refund_at_the_dashboard_has_no_metadata_and_the_same_bounds() {
    let mut state = with_receiver();
    let made = paid(&mut state, "pm_card_visa");
    let given = state.refund_at_dashboard(&made, 2000, NOW).unwrap();
    let shown = answered(state.show_refund(&given)).1;
    assert_eq!(
        (&shown["amount"], &shown["metadata"]),
        (&json!(2000), &json!({}))
    );
    assert_eq!(state.refund_at_dashboard(&made, 501, NOW), None);
    assert_eq!(state.refund_at_dashboard(&made, 0, NOW), None);
    assert_eq!(refunded(&state), 2000);
    assert_eq!(kinds(&state).last().unwrap(), "charge.refunded");
}

#[test]
fn refunds_are_listed_newest_first_and_by_the_page() {
    let mut state = with_receiver();
    let other = paid(&mut state, "pm_card_visa");
    refund(&mut state, &other, "1");
    let made = paid(&mut state, "pm_card_visa");
    let ids: Vec<String> = ["1", "2", "3"]
        .iter()
        .map(|amount| id(&refund(&mut state, &made, amount)))
        .collect();
    let list = |given: &[(&str, &str)]| {
        let listed = answered(state.list_refunds(&params(given))).1;
        let data = listed["data"].as_array().unwrap().clone();
        let ids: Vec<String> = data
            .iter()
            .map(|refund| refund["id"].as_str().unwrap().to_owned())
            .collect();
        (ids, listed["has_more"].as_bool().unwrap())
    };
    let of_made = ("payment_intent", made.as_str());
    assert_eq!(
        list(&[of_made, ("limit", "2")]),
        (vec![ids[2].clone(), ids[1].clone()], true)
    );
    assert_eq!(
        list(&[of_made, ("limit", "2"), ("starting_after", &ids[1])]),
        (vec![ids[0].clone()], false)
    );
    assert_eq!(list(&[]).0.len(), 4);
    let later = (NOW + 1).to_string();
    assert_eq!(list(&[("created[gte]", &later)]).0.len(), 0);
    assert!(
        state
            .list_refunds(&params(&[("starting_after", "re_none")]))
            .is_err()
    );
}

#[test]
fn what_is_disputed_or_was_lost_is_not_refunded() {
    let mut state = with_receiver();
    let made = paid(&mut state, "pm_card_visa");
    let dispute = state.dispute(&made, "fraudulent", NOW).unwrap();
    for status in [
        DisputeStatus::NeedsResponse,
        DisputeStatus::UnderReview,
        DisputeStatus::Lost,
    ] {
        assert!(state.decide_dispute(&dispute, status, NOW));
        let (status, body) =
            answered(state.create_refund(&params(&[("payment_intent", &made)]), NOW));
        assert_eq!(
            (status, &body["error"]["code"]),
            (400, &json!("charge_disputed"))
        );
        assert!(state.dispute(&made, "fraudulent", NOW).is_none());
    }
    assert!(state.decide_dispute(&dispute, DisputeStatus::Won, NOW));
    let refund = answered(state.create_refund(&params(&[("payment_intent", &made)]), NOW));
    assert_eq!(refund.1["status"], "succeeded");
}
