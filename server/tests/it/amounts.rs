//! Amounts: listings whose price cannot be charged are refused, and amounts are converted to and from Stripe's
//! units.

use crate::support::{App, Client, listen, on_both_engines, path};
use serde_json::{Value, json};
use std::sync::Arc;
use stripe_double::Double;

async fn create_event(seller: &Client, currency: &str) -> Value {
    seller.event_with(json!({"currency": currency})).await
}

async fn list_ticket(seller: &Client, event: &Value, price_minor: i64) -> crate::support::Answer {
    let body = json!({"eventId": event["id"], "priceMinor": price_minor});
    seller.post("/api/tickets", body).await
}

on_both_engines! {
    async fn every_amount_is_sent_in_stripes_units(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        for (currency, shop_amount, stripe_amount) in [
            ("UGX", 50_000, 5_000_000), ("ISK", 4_500, 450_000), ("JPY", 1_500, 1_500),
            ("KWD", 5_120, 5_120), ("IDR", 150_000_000, 150_000_000), ("HUF", 17_545, 17_545),
            ("VND", 90_000, 90_000), ("GBP", 30, 30), ("COP", 9_999_999_999, 9_999_999_999),
        ] {
            let event = create_event(&seller, currency).await;
            let tickets = [list_ticket(&seller, &event, shop_amount).await.expect(201), list_ticket(&seller, &event, shop_amount).await.expect(201)];
            let order = buyer.reserve(&[&tickets[0]]).await.expect(201);
            let page = buyer.page(&format!("/orders/{}", order["id"].as_str().unwrap())).await.text;
            assert!(page.contains(&format!("provider_amount&quot;:{stripe_amount}")) || page.contains(&format!("provider_amount\":{stripe_amount}")),
                "{currency}: the page passes another amount to Stripe.js");
            let payment = buyer.pay(&order, "pm_card_visa").await.expect(201);
            assert_eq!(payment["amountMinor"], shop_amount, "{currency}");
            let charged = app.journal().into_iter().find(|line| payment["stripeId"] == line.id.as_str()).unwrap();
            assert_eq!((charged.amount, charged.amount_received), (stripe_amount, stripe_amount), "{currency}");
            let refund = seller.refund(&[&tickets[0]]).await.expect(201);
            assert_eq!((&refund["status"], &refund["amountMinor"]), (&json!("succeeded"), &json!(shop_amount)), "{currency}");
            assert_eq!(app.captured_minor(), 0, "{currency}");
        }
        assert_eq!(app.reconciler.reconcile().await.unwrap().open, 0);
        assert_eq!(app.incidents().await, [""; 0]);
        app.assert_sound().await;
    }

    /// The payment is confirmed at the bank, completed by a webhook and partly refunded.
    async fn amounts_from_stripe_are_converted_to_the_shops_units(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = create_event(&seller, "UGX").await;
        let tickets = [list_ticket(&seller, &event, 20_000).await.expect(201), list_ticket(&seller, &event, 30_000).await.expect(201)];
        let order = buyer.reserve(&[&tickets[0], &tickets[1]]).await.expect(201);
        let payment = buyer.pay(&order, "pm_card_threeDSecure2Required").await.expect(202);
        app.approve_at_bank(&payment);
        app.webhooks_arrive().await;
        assert_eq!(buyer.order(&order).await["status"], "complete");
        app.answer_is_lost("refunds.create");
        seller.refund(&[&tickets[0]]).await.expect(201);
        app.settle().await;
        assert_eq!(app.captured_minor(), 30_000);
        assert_eq!(app.incidents().await, [""; 0]);
        app.assert_sound().await;
    }

    async fn prices_that_cannot_be_charged_are_refused(app) {
        let seller = app.user("seller").await;
        for (currency, invalid, valid) in [
            ("EUR", 49, 50), ("GBP", 29, 30), ("JPY", 49, 50), ("HUF", 17_499, 17_500),
            ("KWD", 1_005, 1_010), ("TND", 9_999, 9_990), ("GBP", 100_000_000, 99_999_999),
            ("IDR", 1_000_000_000_000, 999_999_999_999), ("UGX", 10_000_000, 9_999_999),
        ] {
            let event = create_event(&seller, currency).await;
            list_ticket(&seller, &event, invalid).await.invalid("priceMinor");
            let batch = json!({"eventId": event["id"], "priceMinor": invalid, "quantity": 2});
            seller.post("/api/tickets/batch", batch).await.invalid("priceMinor");
            list_ticket(&seller, &event, 0).await.invalid("priceMinor");
            let ticket = list_ticket(&seller, &event, valid).await.expect(201);
            let edit = json!({"priceMinor": invalid, "version": 1});
            seller.put(&path("tickets", &ticket), edit).await.invalid("priceMinor");
            let reprice = json!({"eventId": event["id"], "priceMinor": invalid});
            seller.post("/api/selling/reprice", reprice).await.invalid("priceMinor");
            assert_eq!(seller.ticket_now(&ticket).await["priceMinor"], valid, "{currency}");
        }
        let old_currency = crate::support::client::event_body(json!({"currency": "BGN"}));
        seller.post("/api/events", old_currency).await.invalid("currency");
        let event = seller.event().await;
        let update = json!({"currency": "BGN", "version": 1});
        seller.put(&path("events", &event), update).await.invalid("currency");
    }

    /// They can be sold only if the total of the order can be charged.
    async fn listings_from_before_a_price_rule_can_be_sold_moved_and_withdrawn(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = create_event(&seller, "EUR").await;
        let tickets = [seller.ticket(&event, 100).await, seller.ticket(&event, 100).await, seller.ticket(&event, 100).await];
        app.run_sql("UPDATE tickets SET price_minor = 25").await;
        buyer.reserve(&[&tickets[0]]).await.invalid("ticketIds");
        buyer.reserve_any(&event, 1).await.invalid("quantity");
        let order = buyer.reserve(&[&tickets[0], &tickets[1]]).await.expect(201);
        assert_eq!(buyer.pay(&order, "pm_card_visa").await.expect(201)["amountMinor"], 50);
        let edit = json!({"section": "Stalls", "priceMinor": 25, "version": 1});
        let moved = seller.put(&path("tickets", &tickets[2]), edit).await.expect(200);
        assert_eq!(moved["section"], "Stalls");
        seller.delete(&path("tickets", &tickets[2])).await.expect(204);
        let in_dinars = create_event(&seller, "KWD").await;
        let ticket = seller.ticket(&in_dinars, 1_010).await;
        app.run_sql("UPDATE tickets SET price_minor = 1005 WHERE currency = 'KWD'").await;
        buyer.reserve(&[&ticket]).await.invalid("ticketIds");
        let in_old_currency = create_event(&seller, "EUR").await;
        let ticket = seller.ticket(&in_old_currency, 2500).await;
        app.run_sql("UPDATE events SET currency = 'BGN' WHERE id IN (SELECT event_id FROM tickets WHERE price_minor = 2500)").await;
        app.run_sql("UPDATE tickets SET currency = 'BGN' WHERE price_minor = 2500").await;
        assert_eq!(buyer.ticket_now(&ticket).await["currency"], "BGN");
        buyer.reserve(&[&ticket]).await.invalid("ticketIds");
        let renamed = json!({"title": "Later Show", "version": 1});
        seller.put(&path("events", &in_old_currency), renamed).await.expect(200);
        app.assert_sound().await;
    }

    /// The error does not mention the card, and an incident is opened.
    async fn a_call_that_stripe_refuses_as_invalid_is_not_shown_as_a_declined_card(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        app.call_is_refused("payment_intents.create");
        let answer = buyer.pay(&order, "pm_card_visa").await;
        assert!(!answer.text.to_lowercase().contains("card"), "{}", answer.text);
        answer.refused(500, "internal");
        assert_eq!(app.incidents().await, ["call_refused"]);
        let now = buyer.order(&order).await;
        assert_eq!(now["status"], "awaiting_payment");
        let payment = buyer.get(&path("payments", &json!({"id": now["paymentId"]}))).await.expect(200);
        assert_eq!(payment["status"], "voided");
        let page = buyer.page(&format!("/orders/{}", order["id"].as_str().unwrap())).await.text;
        assert!(!page.contains("The last card was not charged"), "the page reports a declined card");
        // Another card for an existing intent.
        buyer.pay(&order, "pm_card_chargeDeclined").await.refused(402, "card_declined");
        app.call_is_refused("payment_intents.confirm");
        buyer.pay(&order, "pm_card_visa").await.refused(500, "internal");
        buyer.pay(&order, "pm_card_visa").await.expect(201);
        app.assert_sound().await;
    }

    /// If the buyer does not try again.
    async fn an_order_whose_payment_was_refused_as_invalid_expires(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        app.call_is_refused("payment_intents.create");
        buyer.pay(&order, "pm_card_visa").await.refused(500, "internal");
        app.clock.advance(3600);
        app.sweep().await;
        assert_eq!(buyer.order(&order).await["status"], "expired");
        assert_eq!(buyer.ticket_now(&ticket).await["status"], "available");
        assert_eq!(app.captured_minor(), 0);
        app.assert_sound().await;
    }
}

/// They have separate tables of limits.
#[tokio::test]
async fn the_shop_and_the_double_accept_the_same_amounts() {
    use model::{charges::to_provider, money::Currency};
    let double = Double::open(None, Arc::new(|| 1_800_000_000)).unwrap();
    let (url, listener) = listen().await;
    let serving = tokio::spawn(async move { axum::serve(listener, double.api_router()).await });
    let http = reqwest::Client::new();
    for currency in Currency::all().filter(|currency| currency.is_accepted()) {
        let (least, most) = currency.charge_range().unwrap();
        for (minor, is_accepted) in [
            (least.minor, true),
            (most.minor, true),
            (least.minor - 1, false),
            (most.minor + 1, false),
        ] {
            let amount = to_provider(currency.code(), minor).unwrap();
            let form = [
                ("amount", amount.to_string()),
                ("currency", currency.code().to_owned()),
            ];
            let call = http
                .post(format!("{url}/v1/payment_intents"))
                .bearer_auth("sk_test_x");
            let status = call.form(&form).send().await.unwrap().status();
            assert_eq!(status == 200, is_accepted, "{currency} {minor}: {status}");
        }
    }
    serving.abort();
}
