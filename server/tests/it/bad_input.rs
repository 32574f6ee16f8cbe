//! Invalid requests are refused with an error at the field, cause no internal error and write nothing.

use crate::support::{
    App,
    client::{PASSWORD, event_body},
    on_both_engines, path,
};
use serde_json::{Value, json};

on_both_engines! {
    async fn every_route_refuses_a_malformed_body_with_400(app) {
        let user = app.user("user").await;
        let routes = ["/api/events", "/api/tickets", "/api/tickets/batch", "/api/orders",
            "/api/payments", "/api/user/signup", "/api/user/signin", "/api/user/forgot", "/api/user/reset",
            "/api/waiting-list/confirm", "/api/waiting-list/leave"];
        let json = [("content-type", "application/json")];
        for route in routes {
            for body in ["", "{", "null", "[]", "42", "\"text\"", "{\"a\":", "\u{0}", "{} {}"] {
                user.send("POST", route, &json, body).await.refused(400, "invalid");
            }
            user.send("POST", route, &json, vec![0xff, 0xfe, 0x00]).await.refused(400, "invalid");
            let form = [("content-type", "text/plain")];
            user.send("POST", route, &form, "{}").await.refused(400, "invalid");
            user.post(route, json!({"surprise": 1})).await.refused(400, "invalid");
        }
        for table in ["events", "tickets", "orders", "payments"] {
            assert_eq!(app.count(table).await, 0);
        }
    }

    async fn invalid_fields_of_an_event_are_reported(app) {
        let user = app.user("user").await;
        for (field, invalid) in [
            ("title", json!("")), ("title", json!("   ")), ("title", json!("x".repeat(121))), ("title", json!(1)),
            ("venue", json!("")), ("city", json!("")), ("country", json!("XX")), ("country", json!("England")),
            ("startsAt", json!("2020-01-01T00:00:00Z")), ("startsAt", json!("tomorrow")), ("startsAt", json!(1)),
            ("timeZone", json!("Mars/Olympus")), ("timeZone", json!("")),
            ("currency", json!("XXX")), ("currency", json!("£")), ("currency", json!(826)),
            ("description", json!("x".repeat(5001))), ("title", json!("a\u{7}b")),
            ("surprise", json!(1)), ("title", json!(null)),
        ] {
            let body = if invalid.is_null() {
                event_body(json!({field: null}))
            } else {
                event_body(json!({field: invalid}))
            };
            user.post("/api/events", body).await.invalid(field);
        }
        assert_eq!(app.count("events").await, 0);
    }

    async fn invalid_fields_of_a_ticket_are_reported(app) {
        let user = app.user("user").await;
        let event = user.event().await;
        for (field, invalid) in [
            ("priceMinor", json!(0)), ("priceMinor", json!(i64::MIN)), ("priceMinor", json!(1e300)),
            ("priceMinor", json!(100_000_000)), ("faceValueMinor", json!(-1)), ("section", json!("x".repeat(41))),
            ("row", json!("x".repeat(11))), ("seat", json!("x".repeat(11))), ("eventId", json!("x")),
            ("eventId", json!(1)), ("status", json!("sold")), ("sellerId", json!("me")),
        ] {
            let mut body = json!({"eventId": event["id"], "priceMinor": 2500});
            body[field] = invalid;
            user.post("/api/tickets", body).await.invalid(field);
        }
        for quantity in [json!(0), json!(-1), json!(10_001), json!("2"), json!(null), json!(1.5)] {
            let body = json!({"eventId": event["id"], "priceMinor": 2500, "quantity": quantity});
            user.post("/api/tickets/batch", body).await.invalid("quantity");
        }
        let body = json!({"eventId": event["id"], "priceMinor": 2500, "quantity": 2, "seat": "1"});
        user.post("/api/tickets/batch", body).await.invalid("seat");
        assert_eq!(app.count("tickets").await, 0);
    }

    async fn invalid_fields_of_an_order_are_reported(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let (event, other) = (seller.event().await, seller.event().await);
        let tickets = seller.batch(&event, 9, 2500).await;
        let of_other_event = seller.ticket(&other, 2500).await;
        for ids in [json!([]), json!(tickets), json!([tickets[0], tickets[0]]),
            json!([tickets[0], of_other_event["id"]])]
        {
            buyer.post("/api/orders", json!({"ticketIds": ids})).await.invalid("ticketIds");
        }
        for quantity in [0, 9, -1] {
            buyer.reserve_any(&event, quantity).await.invalid("quantity");
        }
        for body in [json!({"ticketIds": "x"}), json!({"ticketIds": [1]}), json!({}),
            json!({"eventId": event["id"]}), json!({"ticketIds": [tickets[0]], "priceMinor": 1}),
            json!({"ticketIds": [tickets[0]], "eventId": event["id"], "quantity": 1})]
        {
            buyer.post("/api/orders", body).await.refused(400, "invalid");
        }
        let unknown = json!({"ticketIds": ["00000000-0000-7000-8000-000000000000"]});
        buyer.post("/api/orders", unknown).await.refused(404, "not_found");
        assert_eq!(app.count("orders").await, 0);
    }

    async fn invalid_fields_of_a_payment_are_reported_and_nothing_is_charged(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        for token in ["", "  ", "pm_no_such_card", "tok_nonsense", "a b"] {
            buyer.pay(&order, token).await.invalid("token");
        }
        let body = json!({"orderId": order["id"], "token": "pm_card_visa", "amountMinor": 1});
        buyer.post("/api/payments", body).await.invalid("amountMinor");
        buyer.post("/api/payments", json!({"orderId": "x", "token": "pm_card_visa"})).await.invalid("orderId");
        assert_eq!(app.captured_minor(), 0);
        buyer.pay(&order, "pm_card_visa").await.expect(201);
        app.assert_sound().await;
    }

    /// PostgreSQL cannot store NUL in a text, and SQLite can: the answers are the same.
    async fn a_nul_character_is_refused_or_matches_nothing(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        seller.batch(&event, 2, 2500).await;
        let sign_in = json!({"email": "\u{0}", "password": "xxxxxxxxx"});
        app.anonymous().post("/api/user/signin", sign_in).await.invalid("email");
        for section in ["\u{0}", "Stalls\u{0}"] {
            let body = json!({"eventId": event["id"], "quantity": 1, "section": section});
            buyer.post("/api/orders", body).await.invalid("section");
            let withdrawal = json!({"eventId": event["id"], "section": section});
            let reprice = json!({"eventId": event["id"], "section": section, "priceMinor": 2600});
            for (action, body) in [("withdraw", withdrawal), ("reprice", reprice)] {
                seller.post(&format!("/api/selling/{action}"), body).await.invalid("section");
            }
        }
        let page = format!("/events/{}?section=%00", event["id"].as_str().unwrap());
        assert_eq!(buyer.page(&page).await.status, 200);
        for page in ["/?q=%00", "/?city=%00", "/order?link=%00", "/reset?token=%00", "/sell?q=%00"] {
            assert!(buyer.page(page).await.status < 500, "{page}");
        }
    }

    async fn an_order_above_the_maximum_charge_is_refused(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        let tickets = [seller.ticket(&event, 99_999_999).await, seller.ticket(&event, 30).await];
        buyer.reserve(&[&tickets[0], &tickets[1]]).await.invalid("ticketIds");
        buyer.reserve_any(&event, 2).await.invalid("quantity");
        assert_eq!(buyer.ticket_now(&tickets[1]).await["status"], "available");
        buyer.reserve(&[&tickets[0]]).await.expect(201);
        app.assert_sound().await;
    }

    async fn a_body_above_the_size_limit_is_refused(app) {
        let user = app.user("user").await;
        let huge = json!({"title": "x".repeat(3_000_000)});
        user.post("/api/events", huge).await.refused(413, "too_large");
    }

    async fn tickets_of_past_events_are_neither_listed_nor_sold(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let soon = app.clock_seconds() + 3600;
        let starts: String = format!("{}", jiff::Timestamp::from_second(soon).unwrap());
        let event = seller.event_with(json!({"startsAt": starts})).await;
        let ticket = seller.ticket(&event, 2500).await;
        app.clock.advance(3600);
        buyer.reserve(&[&ticket]).await.refused(409, "event_over");
        buyer.reserve_any(&event, 1).await.refused(409, "event_over");
        let body = json!({"eventId": event["id"], "priceMinor": 2500});
        seller.post("/api/tickets", body).await.refused(409, "event_over");
        let shown = buyer.get("/api/events").await.expect(200);
        assert_eq!(shown["events"], json!([]));
        buyer.get(&path("events", &event)).await.expect(200);
    }

    async fn invalid_query_parameters_are_refused(app) {
        let anonymous = app.anonymous();
        for (query, field) in [
            ("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("cursor=%00", "cursor"),
            ("from=yesterday", "from"), ("surprise=1", "surprise"),
        ] {
            anonymous.get(&format!("/api/events?{query}")).await.invalid(field);
        }
        for (query, field) in [
            ("limit=0", "limit"), ("status=lost", "status"), ("eventId=x", "eventId"), ("sellerId=x", "sellerId"),
        ] {
            anonymous.get(&format!("/api/tickets?{query}")).await.invalid(field);
        }
        anonymous.get("/api/tickets?sellerId=me").await.refused(401, "sign_in_required");
        for q in ["%25", "_", "'; DROP TABLE events; --", "%F0%9F%8E%AD", "a b c d e f g h i j k"] {
            let found = anonymous.get(&format!("/api/events?q={q}")).await.expect(200);
            assert_eq!(found["events"], json!([]));
        }
        anonymous.get("/api/nothing").await.refused(404, "not_found");
        let not_allowed = anonymous.send("PATCH", "/api/events", &[], "").await;
        assert_eq!(not_allowed.status, 405);
        assert!(not_allowed.body["errors"].is_array(), "{}", not_allowed.text);
    }

    async fn an_idempotency_key_gives_one_answer_and_one_effect(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        seller.batch(&event, 5, 2500).await;
        let body = json!({"eventId": event["id"], "quantity": 1});
        let key = [("idempotency-key", "order-1")];
        let first = buyer.json("POST", "/api/orders", &key, body.clone()).await.expect(201);
        app.clock.advance(5);
        let again = buyer.json("POST", "/api/orders", &key, body).await.expect(201);
        assert_eq!(first, again);
        let other = json!({"eventId": event["id"], "quantity": 2});
        buyer.json("POST", "/api/orders", &key, other.clone()).await.refused(409, "idempotency_mismatch");
        seller.event().await;
        app.user("another").await.json("POST", "/api/orders", &key, other).await.expect(201);
        assert_eq!(app.count("orders").await, 2);
        let other_url = "/api/orders?x=1";
        let body = json!({"eventId": event["id"], "quantity": 1});
        buyer.json("POST", other_url, &key, body).await.refused(409, "idempotency_mismatch");
        let long = "k".repeat(256);
        let body: Value = json!({"eventId": event["id"], "quantity": 1});
        let long = [("idempotency-key", long.as_str())];
        buyer.json("POST", "/api/orders", &long, body.clone()).await.invalid("Idempotency-Key");
        app.anonymous().json("POST", "/api/user/signup", &long, body).await.invalid("Idempotency-Key");
    }

    /// The request is completed, and the key does not stay claimed.
    async fn an_idempotency_key_keeps_the_answer_for_a_client_that_disconnected(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        seller.batch(&event, 1, 2500).await;
        let order = buyer.reserve_any(&event, 1).await.expect(201);
        let key = [("idempotency-key", "payment-1")];
        let body = json!({"orderId": order["id"], "token": "pm_card_visa"});
        app.next_call_is_slow("payment_intents.create");
        let asked = buyer.json("POST", "/api/payments", &key, body.clone());
        tokio::select! {
            biased;
            () = app.until_found("SELECT COUNT(*) AS n FROM payments") => {}
            answer = asked => panic!("it was not slow: {}", answer.text),
        }
        let began = std::time::Instant::now();
        let paid = loop {
            let again = buyer.json("POST", "/api/payments", &key, body.clone()).await;
            if again.status != 409 {
                break again.expect(201);
            }
            again.refused(409, "idempotency_in_progress");
            assert!(began.elapsed().as_secs() < 20, "the key is still claimed");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        };
        assert_eq!(paid["status"], "captured");
        assert_eq!(app.captured_minor(), 2500);
        app.assert_sound().await;
    }

    /// A replayed answer would neither remove the cookie nor end the session.
    async fn signing_out_twice_with_one_idempotency_key_ends_both_sessions(app) {
        let user = app.user("user").await;
        let key = [("idempotency-key", "out")];
        for _ in 0..2 {
            user.post("/api/user/signin", json!({"email": user.email, "password": PASSWORD})).await.expect(200);
            assert_eq!(user.json("POST", "/api/user/signout", &key, json!({})).await.status, 204);
            let now = user.get("/api/user/currentuser").await.expect(200);
            assert_eq!(now["currentUser"], json!(null));
        }
    }
}
