//! Broken connections to Stripe, PostgreSQL and Redis, locks in PostgreSQL, and a system clock that is set forward
//! or back.

use crate::{
    expiry::{BY_SWEEP, Redis, held},
    support::{
        Answer, App, Jobs, client,
        database::Database,
        on_both_engines,
        proxy::{Line, Proxy},
        seeded,
    },
};
use futures::future::join_all;
use rand::RngExt;
use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection, Executor, query};
use std::{
    ops::Range,
    time::{Duration, Instant},
};

const CARD: &str = "pm_card_visa";
const THREE_D_SECURE_CARD: &str = "pm_card_threeDSecure2Required";
const HOUR: i64 = 3600;
/// A payment is answered after ten seconds at most, plus delays of a busy machine. All other limits of an answer
/// are thirty seconds.
const PAYMENT_ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Less than the timeout of a call to Stripe, eight seconds.
const ANSWER_TIMEOUT_WITHOUT_STRIPE: Duration = Duration::from_secs(7);
/// How often connections are reset. Limited, so that the work is completed on a slow machine, too.
const RESETS: u32 = 20;

/// Does `work` while the proxy's connections are reset repeatedly, after pauses of `millis`.
async fn with_resets<T>(proxy: &Proxy, millis: Range<u64>, work: impl Future<Output = T>) -> T {
    let mut random = seeded();
    let resetting = async {
        for _ in 0..RESETS {
            let pause = Duration::from_millis(random.random_range(millis.clone()));
            tokio::time::sleep(pause).await;
            proxy.reset();
        }
        std::future::pending().await
    };
    tokio::select! {
        done = work => done,
        never = resetting => never,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_connection_to_stripe_with_resets_charges_each_order_once_on_postgres() {
    let proxy = Proxy::start().await;
    let app = App::start_behind(Database::postgres().await, Jobs::None, Some(&proxy)).await;
    let seller = app.user("seller").await;
    let event = seller.event().await;
    seller.batch(&event, 20, 2500).await;
    let buyer = app.user("buyer").await;
    let mut orders = Vec::new();
    for _ in 0..14 {
        orders.push(buyer.reserve_any(&event, 1).await.expect(201));
    }
    proxy.set(Line::Delays(Duration::from_millis(300)));
    let paying = join_all(orders[..12].iter().map(|order| buyer.pay(order, CARD)));
    let mut answers = with_resets(&proxy, 100..500, paying).await;
    // Reset during the request, and during the answer.
    for (order, bytes) in orders[12..].iter().zip([200, 1500]) {
        proxy.reset();
        proxy.set(Line::CutsAfter(bytes));
        answers.push(buyer.pay(order, CARD).await);
    }
    for answer in &answers {
        assert!([201, 202].contains(&answer.status), "{}", answer.text);
    }
    proxy.set(Line::Passes);
    app.settle().await;
    for order in &orders {
        assert_eq!(buyer.order(order).await["status"], "complete");
    }
    assert_eq!(app.captured_minor(), 14 * 2500);
    app.assert_sound().await;
    app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_stripe_delays_payments_and_extends_no_hold() {
    let proxy = Proxy::start().await;
    let app = App::start_behind(Database::sqlite(), Jobs::None, Some(&proxy)).await;
    let seller = app.user("seller").await;
    let event = seller.event().await;
    let (first, second) = (
        seller.ticket(&event, 2500).await,
        seller.ticket(&event, 4000).await,
    );
    let (ann, bob, cara) = (
        app.user("ann").await,
        app.user("bob").await,
        app.user("cara").await,
    );
    let anns = ann.reserve(&[&first]).await.expect(201);
    app.clock.advance(600);
    let caras = cara.reserve(&[&second]).await.expect(201);

    proxy.set(Line::Swallows);
    let began = Instant::now();
    let answers = futures::join!(ann.pay(&anns, CARD), cara.pay(&caras, CARD));
    assert!(
        began.elapsed() < PAYMENT_ANSWER_TIMEOUT,
        "{:?}",
        began.elapsed()
    );
    for answer in [answers.0, answers.1] {
        assert_eq!(answer.expect(202)["status"], "processing");
    }
    // Ann's hold and grace have ended; Cara's have not.
    app.clock.advance(361);
    let began = Instant::now();
    let bobs = bob.reserve(&[&first]).await.expect(201);
    assert!(
        began.elapsed() < ANSWER_TIMEOUT_WITHOUT_STRIPE,
        "the reservation waited for Stripe"
    );
    assert_eq!(ann.order(&anns).await["status"], "expired");

    proxy.set(Line::Passes);
    app.settle().await;
    assert_eq!(cara.order(&caras).await["status"], "complete");
    assert_eq!(ann.order(&anns).await["status"], "expired");
    assert_eq!(
        app.captured_minor(),
        4000,
        "captured another amount than Cara's"
    );
    bob.pay(&bobs, CARD).await.expect(201);
    app.assert_sound().await;
}

/// Asserts a success, a conflict, or a 503, and that errors have the documented fields.
fn assert_clean(answer: &Answer) {
    let Answer { status, text, .. } = answer;
    assert!([201, 202, 409, 503].contains(status), "{status} {text}");
    if *status == 503 {
        assert_eq!(answer.header("retry-after"), "1", "{text}");
    }
    if *status >= 400 {
        let has_text = |field: &str| {
            answer.body[field]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        };
        assert!(
            has_text("code") && has_text("requestId"),
            "{status} {text:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reset_connections_to_postgresql_under_load_leave_no_incomplete_orders() {
    let proxy = Proxy::start().await;
    let mut database = Database::postgres().await;
    database.url = proxy.in_front_of(&database.url);
    let app = App::start_with(database, Jobs::None).await;
    let seller = app.user("seller").await;
    let event = seller.event().await;
    // Enough for orders whose answers are lost, too.
    seller.batch(&event, 500, 2500).await;
    let mut buyers = Vec::new();
    for _ in 0..10 {
        buyers.push(app.user("buyer").await.impatient());
    }
    let purchases = join_all(buyers.iter().map(async |buyer| {
        let mut answered = Vec::new();
        while answered.len() < 3 {
            let reserved = buyer.reserve_any(&event, 2).await;
            assert_clean(&reserved);
            if reserved.status == 201 {
                let paid = buyer.pay(&reserved.body, CARD).await;
                assert_clean(&paid);
                answered.push((buyer, reserved.body, paid.status == 201));
            }
        }
        answered
    }));
    let answered = with_resets(&proxy, 30..150, purchases).await;
    proxy.set(Line::CutsAfter(3000));
    assert_clean(&buyers[0].reserve_any(&event, 1).await);
    proxy.set(Line::Resets);
    for answer in [
        buyers[0].reserve_any(&event, 1).await,
        buyers[0].get("/api/events").await,
        buyers[0].get("/api/orders").await,
        app.anonymous().impatient().get("/api/tickets").await,
    ] {
        answer.refused(503, "unavailable");
    }
    proxy.set(Line::Passes);
    proxy.reset();
    app.settle().await;
    for (buyer, order, is_paid) in answered.into_iter().flatten() {
        let order = buyer.order(&order).await;
        assert_eq!(order["tickets"].as_array().unwrap().len(), 2);
        assert!(!is_paid || order["status"] == "complete", "{order}");
    }
    app.assert_sound().await;
    app.close().await;
}

/// Opens another connection to the app's PostgreSQL, and begins a transaction.
async fn begin_rival_transaction(app: &App) -> AnyConnection {
    let mut rival = AnyConnection::connect(&app.database.url).await.unwrap();
    // PostgreSQL detects a deadlock in the app's transaction, not in this one.
    rival
        .execute("SET deadlock_timeout = '10min'")
        .await
        .unwrap();
    rival.execute("BEGIN").await.unwrap();
    rival
}

async fn lock_ticket(rival: &mut AnyConnection, ticket: &Value) {
    query("SELECT id FROM tickets WHERE id = $1 FOR UPDATE")
        .bind(ticket["id"].as_str().unwrap().to_owned())
        .fetch_one(rival)
        .await
        .unwrap();
}

/// Counts this database's connections that wait for a lock.
const LOCK_WAITS: &str = "SELECT COUNT(*) AS n FROM pg_stat_activity \
     WHERE datname = current_database() AND wait_event_type = 'Lock'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_locked_by_a_concurrent_postgres_transaction_causes_a_clean_503() {
    let app = App::on_postgres().await;
    let seller = app.user("seller").await;
    let ticket = seller.ticket(&seller.event().await, 2500).await;
    let buyer = app.user("buyer").await;
    let mut rival = begin_rival_transaction(&app).await;
    lock_ticket(&mut rival, &ticket).await;
    let answer = buyer.impatient().reserve(&[&ticket]).await;
    assert_eq!(answer.header("retry-after"), "1");
    answer.refused(503, "unavailable");
    rival.execute("ROLLBACK").await.unwrap();
    buyer.reserve(&[&ticket]).await.expect(201);
    app.assert_sound().await;
    app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reservation_that_postgres_aborts_because_of_a_deadlock_is_retried() {
    let app = App::on_postgres().await;
    let seller = app.user("seller").await;
    let event = seller.event().await;
    let (first, second) = (
        seller.ticket(&event, 2500).await,
        seller.ticket(&event, 2500).await,
    );
    let buyer = app.user("buyer").await;
    let mut rival = begin_rival_transaction(&app).await;
    lock_ticket(&mut rival, &second).await;
    let reserving = tokio::spawn({
        let (first, second) = (first.clone(), second);
        async move { buyer.reserve(&[&first, &second]).await }
    });
    while app.number(LOCK_WAITS).await == 0 {
        tokio::task::yield_now().await;
    }
    // Waits until PostgreSQL has aborted the buyer's transaction, which has locked this ticket.
    lock_ticket(&mut rival, &first).await;
    assert!(!reserving.is_finished());
    rival.execute("ROLLBACK").await.unwrap();
    let order = reserving.await.unwrap().expect(201);
    assert_eq!(order["tickets"].as_array().unwrap().len(), 2);
    app.assert_sound().await;
    app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_silent_or_resets_connections_extends_no_hold() {
    let redis = Redis::start().await;
    let silent_from_the_start = async {
        let proxy = Proxy::start().await;
        let url = proxy.in_front_of(&redis.url);
        proxy.set(Line::Swallows);
        let story = held(Database::sqlite(), Jobs::InRedis(url)).await;
        story.expired_within(BY_SWEEP).await;
    };
    let silent_during_the_hold = async {
        let proxy = Proxy::start().await;
        let url = proxy.in_front_of(&redis.url);
        let story = held(Database::sqlite(), Jobs::InRedis(url)).await;
        proxy.set(Line::Swallows);
        story.sellable_at_the_holds_end().await;
    };
    let resetting = async {
        let proxy = Proxy::start().await;
        let url = proxy.in_front_of(&redis.url);
        let story = held(Database::sqlite(), Jobs::InRedis(url)).await;
        with_resets(&proxy, 50..400, story.expired_within(BY_SWEEP)).await;
        proxy.set(Line::Resets);
        story.bob.reserve(&[&story.ticket]).await.expect(201);
    };
    tokio::join!(silent_from_the_start, silent_during_the_hold, resetting);
}

on_both_engines! {
    async fn a_clock_set_forward_ends_a_hold_and_a_clock_set_back_extends_it(app) {
        let (seller, ann, bob) =
            (app.user("seller").await, app.user("ann").await, app.user("bob").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = ann.reserve(&[&ticket]).await.expect(201);
        let status = async || {
            let order = ann.order(&order).await;
            (order["status"].as_str().unwrap().to_owned(), order["secondsLeft"].as_i64().unwrap())
        };
        let edit = async || {
            let body = json!({"priceMinor": 9900, "version": 2});
            seller.put(&client::path("tickets", &ticket), body).await
        };

        app.clock.advance(-HOUR);
        assert_eq!(status().await, ("created".to_owned(), 900 + HOUR));
        edit().await.refused(409, "ticket_reserved");
        let refused = bob.reserve(&[&ticket]).await.refused(409, "ticket_reserved");
        assert_eq!(refused["retryAfterSeconds"], 900 + HOUR);
        assert_eq!(app.sweep().await, 0);

        app.clock.advance(2 * HOUR);
        assert_eq!(status().await, ("expired".to_owned(), 0));
        assert_eq!(bob.ticket_now(&ticket).await["status"], "available");
        ann.pay(&order, CARD).await.refused(409, "order_expired");

        // Set back before the sweep: the ticket is held again.
        app.clock.advance(-HOUR);
        assert_eq!(status().await, ("created".to_owned(), 900));
        edit().await.refused(409, "ticket_reserved");

        // Set back after the sweep: the order stays expired.
        app.clock.advance(HOUR);
        assert_eq!(app.sweep().await, 1);
        app.clock.advance(-HOUR);
        assert_eq!(status().await.0, "expired");
        let order = bob.reserve(&[&ticket]).await.expect(201);
        bob.pay(&order, CARD).await.expect(201);
        app.assert_sound().await;
    }

    async fn a_payment_completes_after_the_clock_is_set_forward_or_back(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        let buyer = app.user("buyer").await;
        for moved in [-HOUR, HOUR] {
            let ticket = seller.ticket(&event, 2500).await;
            let order = buyer.reserve(&[&ticket]).await.expect(201);
            let payment = buyer.pay(&order, THREE_D_SECURE_CARD).await.expect(202);
            app.clock.advance(moved);
            app.approve_at_bank(&payment);
            app.webhooks_arrive().await;
            app.settle().await;
            // An hour later the hold has ended, but the ticket is still free, so the order is revived.
            assert_eq!(buyer.order(&order).await["status"], "complete", "moved by {moved}");
        }
        app.assert_sound().await;
    }
}
