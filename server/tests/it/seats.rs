//! A numbered seat of an event is listed once, across sellers and spellings.

use crate::support::{App, Client, on_both_engines, path};
use futures::future::join_all;
use platform::clock::Clock;
use serde_json::{Value, json};
use shop::backfills;

async fn list_seat(
    seller: &Client,
    event: &Value,
    section: &str,
    row: &str,
    seat: &str,
) -> crate::support::Answer {
    let body = json!({"eventId": event["id"], "priceMinor": 2500, "section": section, "row": row, "seat": seat});
    seller.post("/api/tickets", body).await
}

#[track_caller]
fn assert_seat_listed(answer: crate::support::Answer) {
    let body = answer.refused(409, "seat_listed");
    assert_eq!(body["errors"][0]["field"], "seat", "{body}");
}

on_both_engines! {
    async fn a_seat_is_listed_once_across_sellers_and_spellings(app) {
        let (ann, bob) = (app.user("ann").await, app.user("bob").await);
        let (event, other) = (ann.event().await, ann.event().await);
        list_seat(&ann, &event, "Stalls", "C", "12").await.expect(201);
        assert_seat_listed(list_seat(&ann, &event, "Stalls", "C", "12").await);
        for (section, row, seat) in [
            ("Stalls", "C", "12"), ("stalls", "c", "12"), ("STALLS", "Row C", "012"), ("Stalls", "C", "Seat 12"),
        ] {
            assert_seat_listed(list_seat(&bob, &event, section, row, seat).await);
        }
        list_seat(&bob, &event, "Balcony", "C", "12").await.expect(201);
        list_seat(&bob, &event, "Stalls", "C", "13").await.expect(201);
        list_seat(&bob, &other, "Stalls", "C", "12").await.expect(201);
        app.assert_sound().await;
    }

    async fn a_withdrawn_seat_can_be_listed_again_and_a_held_or_sold_one_cannot(app) {
        let (ann, bob, buyer) = (app.user("ann").await, app.user("bob").await, app.user("buyer").await);
        let event = ann.event().await;
        let withdrawn = list_seat(&ann, &event, "Stalls", "C", "1").await.expect(201);
        ann.delete(&path("tickets", &withdrawn)).await.expect(204);
        list_seat(&bob, &event, "Stalls", "C", "1").await.expect(201);
        let sold = list_seat(&ann, &event, "Stalls", "C", "2").await.expect(201);
        let order = buyer.reserve(&[&sold]).await.expect(201);
        assert_seat_listed(list_seat(&bob, &event, "Stalls", "C", "2").await);
        buyer.pay(&order, "pm_card_visa").await.expect(201);
        assert_seat_listed(list_seat(&bob, &event, "Stalls", "C", "2").await);
        app.assert_sound().await;
    }

    async fn a_listing_cannot_be_moved_to_a_seat_that_is_listed(app) {
        let (ann, bob) = (app.user("ann").await, app.user("bob").await);
        let event = ann.event().await;
        list_seat(&ann, &event, "Stalls", "C", "1").await.expect(201);
        let moved = list_seat(&bob, &event, "Stalls", "C", "2").await.expect(201);
        assert_seat_listed(bob.put(&path("tickets", &moved), json!({"seat": "01", "version": 1})).await);
        assert_eq!(bob.ticket_now(&moved).await["seat"], "2");
        bob.put(&path("tickets", &moved), json!({"priceMinor": 3000, "version": 1})).await.expect(200);
        let free = bob.put(&path("tickets", &moved), json!({"seat": "3", "version": 2})).await;
        free.expect(200);
        list_seat(&ann, &event, "Stalls", "C", "2").await.expect(201);
        app.assert_sound().await;
    }

    /// The unique index ensures it.
    async fn of_many_concurrent_listings_of_a_seat_one_succeeds(app) {
        let event = app.user("organiser").await.event().await;
        let mut sellers = Vec::new();
        for number in 0..8 {
            sellers.push(app.user(&format!("seller{number}")).await);
        }
        for seat in ["1", "2", "3"] {
            let answers = join_all(sellers.iter().map(|seller| list_seat(seller, &event, "Stalls", "C", seat))).await;
            assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
            for lost in answers.into_iter().filter(|answer| answer.status != 201) {
                assert_seat_listed(lost);
            }
        }
        app.assert_sound().await;
    }

    async fn only_operators_can_withdraw_the_listing_of_another_seller(app) {
        let (ann, bob, operator) = (app.user("ann").await, app.user("bob").await, app.user("operator").await);
        let event = ann.event().await;
        let wrong = list_seat(&ann, &event, "Stalls", "C", "1").await.expect(201);
        bob.delete(&path("tickets", &wrong)).await.refused(404, "not_found");
        app.make_operator(&operator).await;
        operator.delete(&path("tickets", &wrong)).await.expect(204);
        assert_eq!(ann.ticket_now(&wrong).await["status"], "withdrawn");
        list_seat(&bob, &event, "Stalls", "C", "1").await.expect(201);
        app.assert_sound().await;
    }

    /// With rows of an earlier version, in which two sellers could list one seat.
    async fn seat_keys_are_backfilled_and_a_second_listing_opens_an_incident(app) {
        let (ann, bob) = (app.user("ann").await, app.user("bob").await);
        let event = ann.event().await;
        list_seat(&ann, &event, "Stalls", "C", "1").await.expect(201);
        let later = list_seat(&bob, &event, "Stalls", "C", "2").await.expect(201);
        app.run_sql("UPDATE tickets SET seat_key = NULL").await;
        app.run_sql("UPDATE tickets SET seat = 'Seat 1' WHERE seat = '2'").await;
        backfills::run(&app.db, app.clock.as_ref() as &dyn Clock).await.unwrap();
        assert_eq!(app.incidents().await, ["seat_listed_twice"]);
        let keys = "SELECT COUNT(*) AS n FROM tickets WHERE seat_key IS NOT NULL";
        assert_eq!(app.number(keys).await, 1);
        assert_eq!(bob.ticket_now(&later).await["status"], "available", "the listing is unchanged");
        assert_seat_listed(list_seat(&bob, &event, "Stalls", "C", "1").await);
    }

    async fn a_failed_refund_returns_the_seat_to_its_buyer_even_if_it_is_listed_again(app) {
        let (ann, bob, buyer) = (app.user("ann").await, app.user("bob").await, app.user("buyer").await);
        let event = ann.event().await;
        let seat = list_seat(&ann, &event, "Stalls", "C", "1").await.expect(201);
        let order = buyer.reserve(&[&seat]).await.expect(201);
        buyer.pay(&order, "pm_card_refundFail").await.expect(201);
        ann.refund(&[&seat]).await.expect_2xx();
        list_seat(&bob, &event, "Stalls", "C", "1").await.expect(201);
        app.clock.advance(3 * 24 * 3600);
        app.webhooks_arrive().await;
        assert_eq!(buyer.ticket_now(&seat).await["status"], "sold");
        assert!(app.incidents().await.contains(&"seat_listed_twice".to_owned()));
        app.assert_sound().await;
    }
}
