//! Concurrent requests over HTTP: exactly as many sales as tickets, no errors except refusals, no deadlocks.

use crate::support::{App, Client, Jobs, database::Database, on_both_engines};
use futures::future::join_all;
use serde_json::{Value, json};
use std::{collections::HashSet, time::Duration};
use tokio::sync::oneshot;

async fn buyers(app: &App, count: usize) -> Vec<Client> {
    let mut buyers = Vec::with_capacity(count);
    for number in 0..count {
        buyers.push(app.user(&format!("buyer{number}")).await);
    }
    buyers
}

/// The orders in the answers; all other answers must be conflicts.
fn created_orders(answers: &[crate::support::Answer]) -> Vec<&Value> {
    for answer in answers {
        assert!(
            [201, 409].contains(&answer.status),
            "{} {}",
            answer.status,
            answer.text
        );
    }
    answers
        .iter()
        .filter(|answer| answer.status == 201)
        .map(|answer| &answer.body)
        .collect()
}

on_both_engines! {
    async fn forty_buyers_for_fifteen_tickets_get_exactly_fifteen(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        seller.batch(&event, 15, 2500).await;
        let buyers = buyers(app, 40).await;
        let answers = join_all(buyers.iter().map(|buyer| buyer.reserve_any(&event, 1))).await;
        let created = created_orders(&answers);
        assert_eq!(created.len(), 15);
        let held: HashSet<&str> =
            created.iter().map(|order| order["tickets"][0]["id"].as_str().unwrap()).collect();
        assert_eq!(held.len(), 15, "a ticket is held twice");
        for refused in answers.iter().filter(|answer| answer.status == 409) {
            assert_eq!(refused.body["code"], "not_enough_tickets");
        }
        app.assert_sound().await;
    }

    async fn one_of_forty_concurrent_buyers_of_a_ticket_reserves_it(app) {
        let seller = app.user("seller").await;
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let buyers = buyers(app, 40).await;
        let wanted = [&ticket];
        let answers = join_all(buyers.iter().map(|buyer| buyer.reserve(&wanted))).await;
        assert_eq!(created_orders(&answers).len(), 1);
        for refused in answers.iter().filter(|answer| answer.status == 409) {
            assert_eq!(refused.body["code"], "ticket_reserved");
            assert!(refused.body["retryAfterSeconds"].as_i64().is_some_and(|left| left > 0));
        }
        app.assert_sound().await;
    }

    /// Orders for overlapping tickets, named in opposite order: no deadlock, no partial order.
    async fn overlapping_orders_reserve_all_their_tickets_or_none(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        let tickets = seller.batch(&event, 6, 2500).await;
        let buyers = buyers(app, 12).await;
        for round in 0..5 {
            let orders = join_all(buyers.iter().enumerate().map(|(number, buyer)| {
                let mut wanted: Vec<&String> =
                    (0..3).map(|step| &tickets[(number + step * (1 + round % 2)) % 6]).collect();
                if number % 2 == 1 {
                    wanted.reverse();
                }
                buyer.post("/api/orders", json!({"ticketIds": wanted}))
            }))
            .await;
            let created = created_orders(&orders);
            assert!((1..=2).contains(&created.len()), "not one or two orders of three of the six tickets");
            let held: Vec<&str> = created
                .iter()
                .flat_map(|order| order["tickets"].as_array().unwrap())
                .map(|ticket| ticket["id"].as_str().unwrap())
                .collect();
            assert_eq!(held.iter().collect::<HashSet<_>>().len(), held.len());
            let id = event["id"].as_str().unwrap();
            let query = format!("/api/tickets?eventId={id}&status=reserved");
            let reserved = seller.get(&query).await.expect(200)["tickets"].as_array().unwrap().len();
            assert_eq!(reserved, created.len() * 3, "the held tickets differ from those of the orders");
            app.clock.advance(901);
        }
        app.assert_sound().await;
    }

    /// Buyers reserve lapsed tickets while the sweep and the expiry jobs also run.
    async fn lapsed_tickets_are_reserved_once_each_by_concurrent_buyers(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        seller.batch(&event, 8, 2500).await;
        let buyers = buyers(app, 16).await;
        let first = join_all(buyers[..8].iter().map(|buyer| buyer.reserve_any(&event, 1))).await;
        assert_eq!(created_orders(&first).len(), 8);
        app.clock.advance(901);
        let reservations = join_all(buyers[8..].iter().map(|buyer| buyer.reserve_any(&event, 1)));
        let expiry_jobs = join_all(first.iter().map(|answer| app.expire(&answer.body)));
        let (second, _, _) = futures::join!(reservations, expiry_jobs, app.sweep());
        assert_eq!(created_orders(&second).len(), 8);
        for (buyer, order) in buyers.iter().zip(&first) {
            assert_eq!(buyer.order(&order.body).await["status"], "expired");
        }
        app.assert_sound().await;
    }

    /// A concurrent transaction locks the last tickets and then rolls back.
    async fn locked_tickets_are_not_reported_as_sold_out(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        seller.batch(&event, 2, 2500).await;
        let buyer = app.user("buyer").await;
        let (locked, wait_until_locked) = oneshot::channel();
        let (roll_back, wait_for_roll_back) = oneshot::channel::<()>();
        let concurrent = app.db.write(move |conn| Box::pin(async move {
            sqlx::query("UPDATE tickets SET version = version").execute(conn).await?;
            locked.send(()).unwrap();
            wait_for_roll_back.await.unwrap();
            Err::<(), _>(sqlx::Error::RowNotFound)
        }));
        let reserving = async {
            wait_until_locked.await.unwrap();
            let mut reserving = std::pin::pin!(buyer.reserve_any(&event, 2));
            let early = tokio::time::timeout(Duration::from_millis(300), &mut reserving).await;
            assert!(early.is_err(), "answered before the rollback: {}", early.unwrap().text);
            roll_back.send(()).unwrap();
            reserving.await.expect(201)
        };
        let (order, rolled_back) = futures::join!(reserving, concurrent);
        assert!(rolled_back.is_err());
        assert_eq!(order["tickets"].as_array().unwrap().len(), 2);
        app.assert_sound().await;
    }

    /// A seller changes the price while a buyer reserves.
    async fn a_price_never_changes_during_a_hold(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        let buyer = app.user("buyer").await;
        for _ in 0..15 {
            let ticket = seller.ticket(&event, 2500).await;
            let edit = json!({"priceMinor": 9900, "version": 1});
            let path = crate::support::path("tickets", &ticket);
            let (edited, reserved) =
                futures::future::join(seller.put(&path, edit), buyer.reserve(&[&ticket])).await;
            let order = reserved.expect(201);
            let price = if edited.status == 200 { 9900 } else {
                let code = edited.body["code"].as_str().unwrap();
                assert!(["ticket_reserved", "version_conflict"].contains(&code), "{}", edited.text);
                2500
            };
            assert_eq!(order["totalMinor"], price);
            assert_eq!(buyer.ticket_now(&ticket).await["priceMinor"], price);
        }
        app.assert_sound().await;
    }

    /// Whichever succeeds, the captured amount agrees with the sold tickets.
    async fn concurrent_payment_cancellation_and_expiry_have_one_outcome(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        let buyer = app.user("buyer").await;
        let mut charged = 0;
        for _ in 0..15 {
            let ticket = seller.ticket(&event, 2500).await;
            let order = buyer.reserve(&[&ticket]).await.expect(201);
            let (paid, cancelled, _) =
                futures::join!(buyer.pay(&order, "pm_card_visa"), buyer.cancel(&order), app.sweep());
            assert!([201, 202, 409].contains(&paid.status), "{}", paid.text);
            assert!([204, 409].contains(&cancelled.status), "{}", cancelled.text);
            app.settle().await;
            let status = buyer.order(&order).await["status"].clone();
            let sold = buyer.ticket_now(&ticket).await["status"] == "sold";
            assert_eq!(sold, status == "complete");
            assert_eq!(cancelled.status == 204, status == "cancelled", "{status}");
            charged += if sold { 2500 } else { 0 };
        }
        assert_eq!(app.captured_minor(), charged);
        app.assert_sound().await;
    }
}

/// Webhooks and the sweep process the same payments as the buyers' requests; the buyer gets the result in any case.
async fn assert_payments_concurrent_with_webhooks(database: Database) {
    let app = App::start_with(database, Jobs::InProcess).await;
    let webhooks = tokio::spawn(app.double.clone().run_webhooks());
    let seller = app.user("seller").await;
    let event = seller.event().await;
    seller.batch(&event, 40, 2500).await;
    let buyers = buyers(&app, 4).await;
    for _ in 0..10 {
        let paying = buyers.iter().map(async |buyer| {
            loop {
                let order = buyer.reserve_any(&event, 1).await.expect(201);
                let paid = buyer.pay(&order, "pm_card_visa").await;
                if paid.status != 409 {
                    break buyer.until_paid(paid).await;
                }
                // Holds are short in this test, so one may end on a busy machine.
                paid.refused(409, "order_expired");
            }
        });
        join_all(paying).await;
    }
    assert_eq!(app.captured_minor(), 100_000);
    webhooks.abort();
    app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_buyer_gets_the_result_of_a_payment_that_webhooks_process_on_sqlite() {
    assert_payments_concurrent_with_webhooks(Database::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_buyer_gets_the_result_of_a_payment_that_webhooks_process_on_postgres() {
    assert_payments_concurrent_with_webhooks(Database::postgres().await).await;
}
