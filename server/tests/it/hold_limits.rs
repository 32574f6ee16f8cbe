//! The limits of unpaid holds per buyer and per network address.

use crate::support::{Answer, App, Client, on_both_engines};
use futures::future::join_all;
use model::ids::OrderId;
use serde_json::Value;
use shop::orders::usage::{self, Outcome};
use tokio::sync::oneshot;

const CARD: &str = "pm_card_visa";

/// Asserts a refusal by a hold limit and returns its `retryAfterSeconds`.
#[track_caller]
fn assert_limited(answer: Answer) -> i64 {
    let body = answer.refused(409, "hold_limit");
    let seconds = body["retryAfterSeconds"].as_i64().unwrap();
    assert!(seconds > 0, "{body}");
    seconds
}

fn tickets_held(answers: &[Answer]) -> usize {
    let held = answers.iter().filter(|answer| answer.status == 201);
    held.map(|answer| answer.body["tickets"].as_array().unwrap().len())
        .sum()
}

/// Creates an event with this number of tickets, and turns limits on.
async fn create_limited_event(app: &App, tickets: i64) -> Value {
    let seller = app.user("seller").await;
    let event = seller.event().await;
    seller.batch(&event, tickets, 2500).await;
    app.limits_on();
    event
}

/// Signs up with limits on, from one address of the loopback network.
async fn users_at(app: &App, address: &str, count: usize) -> Vec<Client> {
    let mut users = Vec::with_capacity(count);
    for _ in 0..count {
        users.push(Client::sign_up_from(&app.base, "buyer", address).await);
    }
    users
}

on_both_engines! {
    async fn a_buyer_holds_at_most_eight_tickets_of_an_event(app) {
        let event = create_limited_event(app, 40).await;
        let other = app.user("other").await.event().await;
        let buyer = app.user("buyer").await;
        let first = buyer.reserve_any(&event, 6).await.expect(201);
        app.clock.advance(100);
        // The first hold to end makes room.
        assert_eq!(assert_limited(buyer.reserve_any(&event, 3).await), 800);
        buyer.reserve_any(&event, 2).await.expect(201);
        assert_limited(buyer.reserve_any(&event, 1).await);
        // The limit is per event.
        buyer.reserve_any(&other, 1).await.refused(409, "not_enough_tickets");
        buyer.cancel(&first).await.expect(204);
        buyer.reserve_any(&event, 6).await.expect(201);
        app.assert_sound().await;
    }

    async fn a_buyer_has_at_most_three_open_orders_of_an_event(app) {
        let event = create_limited_event(app, 40).await;
        let buyer = app.user("buyer").await;
        for _ in 0..3 {
            buyer.reserve_any(&event, 1).await.expect(201);
        }
        assert_limited(buyer.reserve_any(&event, 1).await);
        app.assert_sound().await;
    }

    async fn reserving_named_tickets_counts_as_well(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        let mut tickets = Vec::new();
        for _ in 0..9 {
            tickets.push(seller.ticket(&event, 2500).await);
        }
        app.limits_on();
        let buyer = app.user("buyer").await;
        let eight: Vec<&Value> = tickets[..8].iter().collect();
        buyer.reserve(&eight).await.expect(201);
        assert_limited(buyer.reserve(&[&tickets[8]]).await);
        assert_eq!(buyer.ticket_now(&tickets[8]).await["status"], "available");
        app.assert_sound().await;
    }

    async fn concurrent_requests_do_not_exceed_the_limit(app) {
        let event = create_limited_event(app, 200).await;
        let buyer = app.user("buyer").await;
        let answers = join_all((0..20).map(|_| buyer.reserve_any(&event, 4))).await;
        assert_eq!(tickets_held(&answers), 8);
        for refused in answers.into_iter().filter(|answer| answer.status != 201) {
            assert_limited(refused);
        }
        app.assert_sound().await;
    }

    async fn paid_tickets_do_not_count(app) {
        let event = create_limited_event(app, 40).await;
        let buyer = app.user("buyer").await;
        for _ in 0..4 {
            let order = buyer.reserve_any(&event, 8).await.expect(201);
            buyer.pay(&order, CARD).await.expect(201);
        }
        buyer.reserve_any(&event, 8).await.expect(201);
        app.assert_sound().await;
    }

    /// Before a job has expired it.
    async fn a_lapsed_hold_stops_counting_at_once(app) {
        let event = create_limited_event(app, 40).await;
        let buyer = app.user("buyer").await;
        buyer.reserve_any(&event, 8).await.expect(201);
        assert_limited(buyer.reserve_any(&event, 8).await);
        app.clock.advance(901);
        buyer.reserve_any(&event, 8).await.expect(201);
        app.assert_sound().await;
    }

    async fn after_a_second_unpaid_expiry_the_next_hold_is_delayed(app) {
        let event = create_limited_event(app, 40).await;
        let buyer = app.user("buyer").await;
        buyer.reserve_any(&event, 1).await.expect(201);
        app.clock.advance(901);
        app.sweep().await;
        buyer.reserve_any(&event, 1).await.expect(201);
        app.clock.advance(901);
        app.sweep().await;
        assert_eq!(assert_limited(buyer.reserve_any(&event, 1).await), 299);
        app.clock.advance(299);
        let order = buyer.reserve_any(&event, 1).await.expect(201);
        app.clock.advance(900);
        assert_eq!(assert_limited(buyer.reserve_any(&event, 1).await), 600, "twice as long");
        // Other buyers do not wait, and paying resets the wait.
        app.user("other").await.reserve_any(&event, 8).await.expect(201);
        app.clock.advance(600);
        assert_eq!(buyer.order(&order).await["status"], "expired");
        let order = buyer.reserve_any(&event, 1).await.expect(201);
        buyer.pay(&order, CARD).await.expect(201);
        buyer.reserve_any(&event, 1).await.expect(201);
        app.clock.advance(901);
        buyer.reserve_any(&event, 1).await.expect(201);
        app.assert_sound().await;
    }

    async fn a_cancelled_order_does_not_count_as_an_unpaid_expiry(app) {
        let event = create_limited_event(app, 40).await;
        let buyer = app.user("buyer").await;
        for _ in 0..5 {
            let order = buyer.reserve_any(&event, 1).await.expect(201);
            buyer.cancel(&order).await.expect(204);
        }
        app.assert_sound().await;
    }

    /// Many accounts at one address share a limit, which does not affect another address.
    async fn a_network_address_holds_at_most_sixty_four_tickets(app) {
        let event = create_limited_event(app, 200).await;
        let buyers = users_at(app, "127.0.0.2", 12).await;
        let answers = join_all(buyers.iter().map(|buyer| buyer.reserve_any(&event, 8))).await;
        assert_eq!(tickets_held(&answers), 64);
        for refused in answers.into_iter().filter(|answer| answer.status != 201) {
            assert_limited(refused);
        }
        let at_other_address = users_at(app, "127.0.0.3", 1).await;
        at_other_address[0].reserve_any(&event, 8).await.expect(201);
        // Addresses are kept only while an order is open.
        app.clock.advance(901);
        app.sweep().await;
        let kept = "SELECT COUNT(*) AS n FROM orders WHERE network IS NOT NULL";
        assert_eq!(app.number(kept).await, 0);
        app.assert_sound().await;
    }

    async fn thirty_buyers_behind_one_address_with_two_tickets_each_are_not_refused(app) {
        let event = create_limited_event(app, 100).await;
        let buyers = users_at(app, "127.0.0.4", 30).await;
        let answers = join_all(buyers.iter().map(|buyer| buyer.reserve_any(&event, 2))).await;
        assert_eq!(tickets_held(&answers), 60);
        app.assert_sound().await;
    }

    async fn without_limits_no_reservation_is_refused(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        seller.batch(&event, 100, 2500).await;
        let buyer = app.user("buyer").await;
        for _ in 0..10 {
            buyer.reserve_any(&event, 8).await.expect(201);
        }
        app.assert_sound().await;
    }

    /// Another version of the server may have left such an order.
    async fn an_ended_order_that_still_counts_is_released(app) {
        let event = create_limited_event(app, 40).await;
        let buyer = app.user("buyer").await;
        buyer.reserve_any(&event, 8).await.expect(201);
        app.run_sql("UPDATE tickets SET held_by = NULL, held_until = 0").await;
        app.run_sql("UPDATE order_lines SET live = 0").await;
        app.run_sql("UPDATE orders SET status = 'expired'").await;
        assert_limited(buyer.reserve_any(&event, 8).await);
        assert_eq!(app.release_ended().await, 1);
        assert_eq!(app.release_ended().await, 0);
        buyer.reserve_any(&event, 8).await.expect(201);
    }

    /// The hold starts when the tickets are taken, not when the request arrives.
    async fn a_reservation_that_waited_for_a_lock_has_a_full_hold(app) {
        let seller = app.user("seller").await;
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let buyer = app.user("buyer").await;
        let (locked, is_locked) = oneshot::channel();
        let (release, released) = oneshot::channel::<()>();
        let locking = app.db.write(move |conn| Box::pin(async move {
            sqlx::query("UPDATE tickets SET version = version").execute(conn).await?;
            locked.send(()).unwrap();
            released.await.unwrap();
            Err::<(), _>(sqlx::Error::RowNotFound)
        }));
        let reserving = async {
            is_locked.await.unwrap();
            let wanted = [&ticket];
            let mut reserving = std::pin::pin!(buyer.reserve(&wanted));
            let early = tokio::time::timeout(std::time::Duration::from_millis(300), &mut reserving);
            assert!(early.await.is_err(), "answered while the row was locked");
            app.clock.advance(1000);
            release.send(()).unwrap();
            reserving.await.expect(201)
        };
        let (order, _) = futures::join!(reserving, locking);
        assert_eq!((order["status"].as_str(), order["secondsLeft"].as_i64()), (Some("created"), Some(900)));
        app.assert_sound().await;
    }

    /// Of two concurrent ends of an order, only one subtracts it from the usage of buyer and network.
    async fn two_concurrent_ends_of_an_order_release_it_once(app) {
        let event = create_limited_event(app, 8).await;
        let buyer = app.user("buyer").await;
        let kept = buyer.reserve_any(&event, 1).await.expect(201);
        let ends = [Outcome::Unpaid, Outcome::Cancelled, Outcome::Paid];
        for (one, two) in [(0, 0), (0, 1), (1, 2), (2, 0)] {
            let order = buyer.reserve_any(&event, 3).await.expect(201);
            let release = |outcome: Outcome| {
                let id: OrderId = order["id"].as_str().unwrap().parse().unwrap();
                app.db.write(move |conn| {
                    Box::pin(async move {
                        usage::lock_usage_and_tickets(conn, id).await?;
                        usage::release(conn, id, outcome).await
                    })
                })
            };
            let (first, second): (Result<(), sqlx::Error>, Result<(), sqlx::Error>) =
                tokio::join!(release(ends[one]), release(ends[two]));
            first.unwrap();
            second.unwrap();
            let used = |column: &str| {
                let sql = format!("SELECT CAST(SUM({column}) AS BIGINT) AS n FROM hold_usage");
                async move { app.number(&sql).await }
            };
            // The rows of buyer and network still count the other order.
            assert_eq!((used("tickets").await, used("orders").await), (2, 2), "{one} {two}");
            assert!(used("lapses").await <= 1, "{one} {two}");
            app.run_sql("UPDATE hold_usage SET lapses = 0, wait_until = 0").await;
            buyer.cancel(&order).await.expect(204);
            assert_eq!((used("tickets").await, used("orders").await), (2, 2), "nothing is left to release");
        }
        buyer.cancel(&kept).await.expect(204);
        app.assert_sound().await;
    }

    async fn an_order_that_is_cancelled_while_it_expires_is_released_once(app) {
        let event = create_limited_event(app, 8).await;
        let buyer = app.user("buyer").await;
        for _ in 0..4 {
            let order = buyer.reserve_any(&event, 2).await.expect(201);
            app.clock.advance(901);
            let (cancelled, _) = tokio::join!(buyer.cancel(&order), app.expire(&order));
            assert!([204, 409].contains(&cancelled.status), "{}", cancelled.text);
            let left = "SELECT CAST(SUM(ABS(tickets) + ABS(orders)) AS BIGINT) AS n FROM hold_usage";
            assert_eq!(app.number(left).await, 0);
            app.run_sql("UPDATE hold_usage SET lapses = 0, wait_until = 0").await;
        }
        app.assert_sound().await;
    }
}
