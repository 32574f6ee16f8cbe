//! Concurrent and repeated attempts to pay one order: each gets its own result.

use crate::support::{App, on_both_engines};
use futures::future::join_all;
use serde_json::json;

/// How often two concurrent requests are sent.
const ROUNDS: usize = 60;

on_both_engines! {
    async fn two_concurrent_cards_each_get_their_own_result(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        for _ in 0..ROUNDS {
            let order = buyer.reserve(&[&seller.ticket(&event, 2500).await]).await.expect(201);
            let pay_with_retries = async {
                loop {
                    let answer = buyer.pay(&order, "pm_card_visa").await;
                    if answer.body["code"] != "payment_in_progress" {
                        return answer;
                    }
                }
            };
            let (declined, paid) =
                futures::join!(buyer.pay(&order, "pm_card_chargeDeclined"), pay_with_retries);
            let code = declined.body["code"].as_str().unwrap_or_default();
            assert!(
                ["card_declined", "payment_in_progress", "order_complete"].contains(&code),
                "the declined card was answered {} {}", declined.status, declined.text
            );
            assert_eq!((paid.status, &paid.body["status"]), (201, &json!("captured")), "{}", paid.text);
        }
        app.assert_sound().await;
    }

    async fn of_concurrent_accepted_cards_one_pays_and_the_others_are_refused(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        for _ in 0..10 {
            let order = buyer.reserve(&[&seller.ticket(&event, 2500).await]).await.expect(201);
            let answers = join_all((0..4).map(|_| buyer.pay(&order, "pm_card_visa"))).await;
            let paid = answers.iter().filter(|answer| answer.status == 201).count();
            assert_eq!(paid, 1, "{:?}", answers.iter().map(|answer| &answer.text).collect::<Vec<_>>());
            assert!(answers.iter().all(|answer| [201, 409].contains(&answer.status)));
        }
        app.assert_sound().await;
    }

    /// The first card waits for the bank while other cards are tried; the last one pays.
    async fn a_replaced_card_is_not_reported_as_paid(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let order = buyer.reserve(&[&seller.ticket(&seller.event().await, 2500).await]).await.expect(201);
        buyer.pay(&order, "pm_card_threeDSecure2Required").await.expect(202);
        buyer.pay(&order, "pm_card_chargeDeclined").await.refused(402, "card_declined");
        buyer.pay(&order, "pm_card_visa").await.expect(201);
        buyer.pay(&order, "pm_card_visa").await.refused(409, "order_complete");
        app.assert_sound().await;
    }
}
