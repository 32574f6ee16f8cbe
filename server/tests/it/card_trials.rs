//! Limits of card trials and of lookups at Stripe, which do not affect ordinary buyers.

use crate::support::{App, Client, on_both_engines, path};
use futures::future::join_all;
use serde_json::{Value, json};

const DECLINED_CARDS: [&str; 4] = [
    "pm_card_chargeDeclined",
    "pm_card_chargeDeclinedInsufficientFunds",
    "pm_card_chargeDeclinedStolenCard",
    "pm_card_chargeDeclinedExpiredCard",
];

async fn reserve(seller: &Client, buyer: &Client) -> Value {
    let ticket = seller.ticket(&seller.event().await, 2500).await;
    buyer.reserve(&[&ticket]).await.expect(201)
}

/// Counts the cards that the provider was asked to charge.
async fn count_tried_cards(app: &App) -> i64 {
    app.number("SELECT COUNT(*) AS n FROM payment_effects WHERE kind IN ('create', 'confirm')")
        .await
}

on_both_engines! {
    async fn an_order_accepts_five_declined_cards_also_if_concurrent(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let order = reserve(&seller, &buyer).await;
        app.limits_on();
        for _ in 0..4 {
            let cards =
                (0..25).map(|card| buyer.pay(&order, DECLINED_CARDS[card % DECLINED_CARDS.len()]));
            for answer in join_all(cards).await {
                assert!([402, 409, 429].contains(&answer.status), "{}", answer.text);
            }
        }
        // Cards that were refused because of another payment in progress may be tried again.
        while count_tried_cards(app).await < 5 {
            buyer.pay(&order, DECLINED_CARDS[0]).await.refused(402, "card_declined");
        }
        let refused = buyer.pay(&order, "pm_card_visa").await;
        let left = buyer.order(&order).await["secondsLeft"].as_i64().unwrap();
        let wait: i64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
        refused.refused(429, "too_many_requests");
        assert!((1..=left + 60).contains(&wait), "{wait} of {left}");
        assert_eq!((count_tried_cards(app).await, app.captured_minor()), (5, 0));
        assert_eq!(buyer.order(&order).await["status"], "awaiting_payment");
        app.assert_sound().await;
    }

    async fn an_account_may_try_ten_declined_cards_a_day(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        app.limits_on();
        let orders = [
            reserve(&seller, &buyer).await,
            reserve(&seller, &buyer).await,
            reserve(&seller, &buyer).await,
        ];
        for card in 0..5 {
            for order in &orders[..2] {
                buyer.pay(order, DECLINED_CARDS[card % 4]).await.refused(402, "card_declined");
            }
        }
        buyer.pay(&orders[2], "pm_card_visa").await.refused(429, "too_many_requests");
        // Concurrent requests of several orders do not exceed the limit.
        app.run_sql("UPDATE card_trials SET used = 9").await;
        let cards = orders.iter().map(|order| buyer.pay(order, DECLINED_CARDS[0]));
        let answers = join_all(cards).await;
        let declined = answers.iter().filter(|answer| answer.status == 402).count();
        assert!(declined <= 1, "{declined} were tried");
        app.run_sql("UPDATE card_trials SET began_at = 0").await;
        buyer.pay(&orders[2], "pm_card_visa").await.expect(201);
        app.assert_sound().await;
    }

    async fn accepted_cards_are_not_counted(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        app.limits_on();
        for card in ["pm_card_visa", "pm_card_mastercard"].iter().cycle().take(12) {
            let order = reserve(&seller, &buyer).await;
            buyer.pay(&order, card).await.expect(201);
        }
        let order = reserve(&seller, &buyer).await;
        buyer.pay(&order, "pm_unknown").await.invalid("token");
        app.call_is_refused("payment_intents.create");
        buyer.pay(&order, "pm_card_visa").await.refused(500, "internal");
        assert_eq!(app.number("SELECT CAST(COALESCE(SUM(used), 0) AS BIGINT) AS n FROM card_trials").await, 0);
        buyer.pay(&order, "pm_card_visa").await.expect(201);
        app.assert_sound().await;
    }

    /// Many buyers share an address (a school, a mobile network), and each has one card declined.
    async fn many_buyers_at_one_address_are_not_refused(app) {
        let seller = app.user("seller").await;
        app.limits_on();
        for number in 0..30 {
            let buyer = app.user(&format!("buyer{number}")).await;
            let order = reserve(&seller, &buyer).await;
            buyer.pay(&order, DECLINED_CARDS[0]).await.refused(402, "card_declined");
            buyer.pay(&order, "pm_card_visa").await.expect(201);
        }
        app.assert_sound().await;
    }

    /// An attacker with a list of cards creates an account for every few of them.
    async fn many_accounts_at_one_address_share_a_limit(app) {
        let seller = app.user("seller").await;
        app.limits_on();
        let mut refused = 0;
        for number in 0..8 {
            let thief = app.user(&format!("thief{number}")).await;
            let order = reserve(&seller, &thief).await;
            for card in DECLINED_CARDS {
                refused += usize::from(thief.pay(&order, card).await.status == 429);
            }
        }
        assert!(refused >= 12, "{refused}");
        assert!(count_tried_cards(app).await <= 20);
        // A buyer at this address whose first card is accepted can still buy.
        let buyer = app.user("buyer").await;
        let order = reserve(&seller, &buyer).await;
        buyer.pay(&order, "pm_card_visa").await.expect(201);
        app.assert_sound().await;
    }

    async fn no_answer_reveals_why_a_card_was_declined(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let order = reserve(&seller, &buyer).await;
        let mut errors = Vec::new();
        for card in DECLINED_CARDS {
            let answer = buyer.pay(&order, card).await;
            errors.push(answer.body["errors"].clone());
            answer.refused(402, "card_declined");
        }
        errors.dedup();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].to_string().contains("Nothing was charged"), "{errors:?}");
    }

    async fn without_limits_nothing_is_counted(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let order = reserve(&seller, &buyer).await;
        for _ in 0..11 {
            buyer.pay(&order, DECLINED_CARDS[0]).await.refused(402, "card_declined");
        }
        assert_eq!(app.count("card_trials").await, 0);
    }

    async fn requests_within_two_seconds_share_one_lookup_at_stripe(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let order = reserve(&seller, &buyer).await;
        let payment = buyer.pay(&order, "pm_card_threeDSecure2Required").await.expect(202);
        let count_lookups = || app.double.calls_made("payment_intents.retrieve");
        let before = count_lookups();
        let payment_path = path("payments", &payment);
        let page = format!("/orders/{}", order["id"].as_str().unwrap());
        let (answers, pages) = futures::join!(
            join_all((0..40).map(|_| buyer.get(&payment_path))),
            join_all((0..10).map(|_| buyer.page(&page))),
        );
        assert!(answers.iter().all(|answer| answer.body["status"] == "requires_action"));
        assert!(pages.iter().all(|answer| answer.status == 200));
        for _ in 0..20 {
            buyer.get(&payment_path).await.expect(200);
        }
        assert_eq!(count_lookups() - before, 1);
        app.approve_at_bank(&payment);
        app.clock.advance(2);
        let answers = join_all((0..40).map(|_| buyer.get(&payment_path))).await;
        assert!(
            answers.iter().all(|answer| answer.body["status"] == "captured"),
            "an answer did not wait for the lookup"
        );
        assert_eq!(count_lookups() - before, 2);
        app.assert_sound().await;
    }

    /// A webhook is applied at once, even directly after a lookup.
    async fn an_answer_after_a_webhook_is_the_current_state(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let order = reserve(&seller, &buyer).await;
        let payment = buyer.pay(&order, "pm_card_threeDSecure2Required").await.expect(202);
        let payment_path = path("payments", &payment);
        assert_eq!(buyer.get(&payment_path).await.expect(200)["status"], "requires_action");
        app.approve_at_bank(&payment);
        app.webhooks_arrive().await;
        assert_eq!(buyer.get(&payment_path).await.expect(200)["status"], "captured");
        assert_eq!(buyer.get(&path("orders", &json!({"id": order["id"]}))).await.expect(200)["status"], "complete");
    }
}
