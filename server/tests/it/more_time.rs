//! Extending a hold, once and near its end; and reserving the tickets of an expired order again.

use crate::support::{Answer, App, Client, on_both_engines, path};
use serde_json::{Value, json};

async fn reserve_ticket(app: &App) -> (Client, Client, Value, Value) {
    let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
    let ticket = seller.ticket(&seller.event().await, 2500).await;
    let order = buyer.reserve(&[&ticket]).await.expect(201);
    (seller, buyer, ticket, order)
}

/// Submits the form on the page of an expired order.
async fn reserve_again(buyer: &Client, order: &Value, attempt: &str) -> Answer {
    let page = path("orders", order).replace("/api", "");
    let fields = [
        ("order_id", order["id"].as_str().unwrap()),
        ("attempt", attempt),
    ];
    buyer.form("/fn/orders/reserve_again", &page, &fields).await
}

on_both_engines! {
    async fn a_hold_is_extended_once_and_near_its_end(app) {
        let (_, buyer, ticket, order) = reserve_ticket(app).await;
        assert_eq!(order["moreTimeSeconds"], 300);
        buyer.more_time(&order).await.refused(409, "too_early_for_more_time");
        app.clock.advance(600);
        let longer = buyer.more_time(&order).await.expect(200);
        assert_eq!((&longer["secondsLeft"], &longer["moreTimeSeconds"]), (&600.into(), &0.into()));
        assert_eq!(longer["version"], 2);
        buyer.more_time(&order).await.refused(409, "no_more_time");
        // The hold lasts past its former end, and ends at its new end.
        app.clock.advance(599);
        assert!(!app.expire(&order).await);
        assert_eq!(app.sweep().await, 0);
        assert_eq!(buyer.ticket_now(&ticket).await["reservedSecondsLeft"], 1);
        app.clock.advance(1);
        let rival = app.user("rival").await;
        rival.reserve(&[&ticket]).await.expect(201);
        buyer.more_time(&order).await.refused(409, "order_expired");
        assert_eq!(buyer.timeline(&order).await, ["reserved", "more_time", "expired"]);
        app.assert_sound().await;
    }

    async fn an_extended_hold_keeps_the_grace_period_of_a_payment(app) {
        let (_, buyer, _, order) = reserve_ticket(app).await;
        let payment = buyer.pay(&order, "pm_card_threeDSecure2Required").await.expect(202);
        app.clock.advance(890);
        buyer.more_time(&order).await.expect(200);
        app.clock.advance(300 + 65);
        app.approve_at_bank(&payment);
        app.webhooks_arrive().await;
        assert_eq!(buyer.order(&order).await["status"], "complete");
        assert_eq!(app.captured_minor(), 2500);
        app.assert_sound().await;
    }

    async fn of_two_concurrent_extensions_one_succeeds(app) {
        let (_, buyer, _, order) = reserve_ticket(app).await;
        app.clock.advance(700);
        let (one, other) = tokio::join!(buyer.more_time(&order), buyer.more_time(&order));
        let (won, lost) = if one.status == 200 { (one, other) } else { (other, one) };
        assert_eq!(won.expect(200)["secondsLeft"], 500);
        lost.refused(409, "no_more_time");
        app.assert_sound().await;
    }

    async fn ended_holds_and_holds_of_others_are_not_extended(app) {
        let (seller, buyer, ticket, order) = reserve_ticket(app).await;
        seller.more_time(&order).await.refused(404, "not_found");
        app.clock.advance(900);
        buyer.more_time(&order).await.refused(409, "order_expired");
        let again = buyer.reserve(&[&ticket]).await.expect(201);
        buyer.cancel(&again).await.expect_2xx();
        buyer.more_time(&again).await.refused(409, "order_cancelled");
        let third = buyer.reserve(&[&ticket]).await.expect(201);
        buyer.pay(&third, "pm_card_visa").await.expect(201);
        buyer.more_time(&third).await.refused(409, "order_complete");
        app.assert_sound().await;
    }

    /// Or equivalent ones, if they are held or sold.
    async fn tickets_of_an_expired_order_can_be_reserved_again(app) {
        let (seller, buyer, rival) = (app.user("seller").await, app.user("buyer").await, app.user("rival").await);
        let event = seller.event().await;
        let in_stalls = async |price: i64| {
            let body = json!({"eventId": event["id"], "priceMinor": price, "section": "Stalls"});
            seller.post("/api/tickets", body).await.expect(201)
        };
        let ticket = in_stalls(2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        app.clock.advance(901);
        let first = reserve_again(&buyer, &order, "a").await;
        assert_eq!(first.status, 302);
        let repeated = reserve_again(&buyer, &order, "a").await;
        assert_eq!(first.header("location"), repeated.header("location"));
        assert_eq!(buyer.ticket_now(&ticket).await["status"], "reserved");
        rival.reserve(&[&ticket]).await.refused(409, "ticket_reserved");
        app.clock.advance(901);
        let taken = rival.reserve(&[&ticket]).await.expect(201);
        // Its ticket is held by another buyer: it is replaced by one that costs no more.
        let expensive = in_stalls(2501).await;
        let outside_section = seller.ticket(&event, 100).await;
        reserve_again(&buyer, &order, "b").await;
        assert_eq!(buyer.ticket_now(&expensive).await["status"], "available", "it costs more");
        assert_eq!(buyer.ticket_now(&outside_section).await["status"], "available", "it is outside the section");
        let similar = in_stalls(2400).await;
        let found = reserve_again(&buyer, &order, "b").await;
        assert!(found.header("location").starts_with("/orders/"));
        assert_eq!(buyer.ticket_now(&similar).await["status"], "reserved");
        assert_eq!(rival.order(&taken).await["status"], "created");
        app.assert_sound().await;
    }

    /// General admission is not replaced by a cheaper seat in a section.
    async fn general_admission_is_replaced_by_the_same_offer_only(app) {
        let (seller, buyer, ticket, order) = reserve_ticket(app).await;
        app.clock.advance(901);
        let rival = app.user("rival").await;
        rival.reserve(&[&ticket]).await.expect(201);
        let event = json!({ "id": ticket["eventId"] });
        let body = json!({"eventId": event["id"], "priceMinor": 100, "section": "Behind a pillar"});
        let pillar = seller.post("/api/tickets", body).await.expect(201);
        let cheaper = seller.ticket(&event, 2400).await;
        reserve_again(&buyer, &order, "a").await;
        for left in [&pillar, &cheaper] {
            assert_eq!(buyer.ticket_now(left).await["status"], "available");
        }
        let same = seller.ticket(&event, 2500).await;
        reserve_again(&buyer, &order, "a").await;
        assert_eq!(buyer.ticket_now(&same).await["status"], "reserved");
        app.assert_sound().await;
    }
}
