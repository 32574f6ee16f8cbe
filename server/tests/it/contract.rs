//! The interface for other programs: the API document, JSON shapes, health checks, headers.

use crate::support::{App, client::event_body, on_both_engines, path};
use serde_json::json;

on_both_engines! {
    async fn the_api_document_lists_the_routes(app) {
        let anonymous = app.anonymous();
        let document = anonymous.get("/api/openapi.json").await.expect(200);
        for (route, methods) in [
            ("/api/user/signup", vec!["post"]), ("/api/user/signin", vec!["post"]),
            ("/api/user/signout", vec!["post"]), ("/api/user/currentuser", vec!["get"]),
            ("/api/events", vec!["get", "post"]), ("/api/events/{id}", vec!["get", "put"]),
            ("/api/events/{id}/picture", vec!["put", "delete"]),
            ("/api/tickets", vec!["get", "post"]), ("/api/tickets/batch", vec!["post"]),
            ("/api/tickets/{id}", vec!["get", "put", "delete"]), ("/api/orders", vec!["get", "post"]),
            ("/api/orders/{id}", vec!["get", "delete"]), ("/api/payments", vec!["post"]),
            ("/api/payments/{id}", vec!["get"]), ("/api/webhooks/stripe", vec!["post"]),
        ] {
            for method in methods {
                assert!(document["paths"][route][method].is_object(), "{method} {route}");
            }
        }
        assert_eq!(anonymous.page("/api/docs/").await.status, 200);
    }

    async fn resources_have_the_documented_fields(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        let ticket = seller.ticket(&event, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        let payment = buyer.pay(&order, "pm_card_visa").await.expect(201);
        let order = buyer.order(&order).await;
        for (of, fields) in [
            (&event, "id title category description venue city country startsAt endsAt salesUntil timeZone currency ticketsAvailable priceFromMinor pictureUrl version"),
            (&ticket, "id eventId sellerId section row seat label priceMinor faceValueMinor currency status reservedSecondsLeft version"),
            (&order, "id status expiresAt secondsLeft moreTimeSeconds totalMinor currency tickets paymentId version"),
            (&payment, "id orderId stripeId status amountMinor currency clientSecret"),
        ] {
            let mut expected: Vec<&str> = fields.split(' ').collect();
            expected.sort_unstable();
            let mut actual: Vec<&str> = of.as_object().unwrap().keys().map(String::as_str).collect();
            actual.sort_unstable();
            assert_eq!(actual, expected);
        }
        assert_eq!(order["paymentId"], payment["id"]);
        assert_eq!(payment["clientSecret"], json!(null), "a secret is shown only while it is needed");
    }

    async fn writes_with_an_outdated_version_are_refused(app) {
        let seller = app.user("seller").await;
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let path = path("tickets", &ticket);
        let got = seller.get(&path).await;
        assert_eq!(got.header("etag"), "\"1\"");
        let stale = [("if-match", "\"7\"")];
        seller.send("DELETE", &path, &stale, "").await.refused(412, "precondition_failed");
        let body = json!({"priceMinor": 2600, "version": 1});
        seller.json("PUT", &path, &stale, body.clone()).await.refused(412, "precondition_failed");
        let first = [("if-match", "\"1\"")];
        seller.json("PUT", &path, &first, body.clone()).await.expect(200);
        // The version is 2 now: `If-Match` is checked before the body, and the body's version conflicts.
        seller.json("PUT", &path, &first, body.clone()).await.refused(412, "precondition_failed");
        let second = [("if-match", "\"2\"")];
        seller.json("PUT", &path, &second, body).await.refused(409, "version_conflict");
        assert_eq!(seller.send("DELETE", &path, &second, "").await.status, 204);
    }

    async fn of_concurrent_writes_with_one_version_one_succeeds(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        let ticket = seller.ticket(&event, 2500).await;
        for (path, body) in [
            (path("tickets", &ticket), json!({"priceMinor": 2600, "version": 1})),
            (path("events", &event), event_body(json!({"title": "Later Show", "version": 1}))),
        ] {
            let headers = [("if-match", "\"1\"")];
            let writes = (0..8).map(|_| seller.json("PUT", &path, &headers, body.clone()));
            let (done, refused): (Vec<_>, Vec<_>) = futures::future::join_all(writes)
                .await
                .into_iter()
                .partition(|answer| answer.status == 200);
            assert_eq!(done.len(), 1, "{path}");
            assert_eq!(done[0].body["version"], 2);
            for answer in refused {
                answer.refused(412, "precondition_failed");
            }
        }
    }

    async fn a_created_resource_has_an_etag(app) {
        let seller = app.user("seller").await;
        let event = seller.post("/api/events", event_body(json!({}))).await;
        assert_eq!((event.status, event.header("etag")), (201, "\"1\""));
        let body = json!({"eventId": event.body["id"], "priceMinor": 2500});
        let ticket = seller.post("/api/tickets", body).await;
        assert_eq!((ticket.status, ticket.header("etag")), (201, "\"1\""));
        let order = app.user("buyer").await.reserve(&[&ticket.body]).await;
        assert_eq!((order.status, order.header("etag")), (201, "\"1\""));
    }

    async fn listings_and_orders_of_other_users_are_not_found(app) {
        let (seller, other) = (app.user("seller").await, app.user("other").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let listing = path("tickets", &ticket);
        let body = json!({"priceMinor": 1, "version": 1});
        other.json("PUT", &listing, &[], body).await.refused(404, "not_found");
        other.delete(&listing).await.refused(404, "not_found");
        let order = app.user("buyer").await.reserve(&[&ticket]).await.expect(201);
        let order = path("orders", &order);
        other.get(&order).await.refused(404, "not_found");
        other.delete(&order).await.refused(404, "not_found");
        assert_eq!(other.ticket_now(&ticket).await["priceMinor"], 2500);
    }

    async fn health_is_reported(app) {
        let anonymous = app.anonymous();
        assert_eq!(anonymous.get("/healthz").await.status, 200);
        let ready = anonymous.get("/readyz").await.expect(200);
        assert_eq!((&ready["ready"], &ready["migrations"]), (&json!(true), &json!("ok")));
    }

    async fn every_answer_has_a_request_id_and_security_headers(app) {
        let anonymous = app.anonymous();
        for page in ["/", "/api/events", "/api/nothing", "/healthz", "/nothing"] {
            let answer = anonymous.page(page).await;
            assert!(!answer.header("x-request-id").is_empty(), "{page}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{page}");
            assert!(!answer.header("content-security-policy").is_empty(), "{page}");
        }
        // A request id is accepted from a trusted proxy only (telemetry.rs).
        let answer = anonymous.send("GET", "/api/nothing", &[("x-request-id", "my-own-name-1")], "").await;
        assert_ne!(answer.body["requestId"], "my-own-name-1");
        assert_eq!(answer.body["requestId"], answer.header("x-request-id"));
    }

    async fn pagination_returns_each_ticket_once(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        let mut listed = seller.batch(&event, 25, 2500).await;
        let mut seen = Vec::new();
        let mut query = format!("/api/tickets?eventId={}&limit=10", event["id"].as_str().unwrap());
        loop {
            let page = seller.get(&query).await.expect(200);
            let tickets = page["tickets"].as_array().unwrap();
            seen.extend(tickets.iter().map(|ticket| ticket["id"].as_str().unwrap().to_owned()));
            let Some(next) = page["next"].as_str() else { break };
            let start = query.split("&cursor=").next().unwrap().to_owned();
            query = format!("{start}&cursor={next}");
        }
        listed.sort_unstable();
        seen.sort_unstable();
        assert_eq!(seen, listed);
    }
}
