//! Lines that break: to Stripe, to PostgreSQL, to Redis. And a clock that somebody moves.

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
const CAREFUL: &str = "pm_card_threeDSecure2Required";
const HOUR: i64 = 3600;
/// A buyer is told after ten seconds; a busy machine may add to that. Any other limit on an answer is
/// thirty.
const TOLD_WITHIN: Duration = Duration::from_secs(20);
/// A call to Stripe is given up after eight seconds.
const WITHOUT_STRIPE: Duration = Duration::from_secs(7);
/// So often a line breaks, and then no more: work gets done however slow the machine is.
const BREAKS: u32 = 20;

/// Does `work` while the line's connections are reset, again and again, after pauses of so many
/// milliseconds.
async fn while_it_breaks<T>(line: &Proxy, millis: Range<u64>, work: impl Future<Output = T>) -> T {
    let mut random = seeded();
    let breaking = async {
        for _ in 0..BREAKS {
            let pause = Duration::from_millis(random.random_range(millis.clone()));
            tokio::time::sleep(pause).await;
            line.reset();
        }
        std::future::pending().await
    };
    tokio::select! {
        done = work => done,
        never = breaking => never,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_line_to_stripe_that_breaks_charges_each_order_once_on_postgres() {
    let line = Proxy::start().await;
    let app = App::start_behind(Database::postgres().await, Jobs::None, Some(&line)).await;
    let seller = app.user("seller").await;
    let event = seller.event().await;
    seller.batch(&event, 20, 2500).await;
    let buyer = app.user("buyer").await;
    let mut orders = Vec::new();
    for _ in 0..14 {
        orders.push(buyer.reserve_any(&event, 1).await.expect(201));
    }
    line.set(Line::Delays(Duration::from_millis(300)));
    let paying = join_all(orders[..12].iter().map(|order| buyer.pay(order, CARD)));
    let mut answers = while_it_breaks(&line, 100..500, paying).await;
    // In mid-request, and in mid-answer.
    for (order, bytes) in orders[12..].iter().zip([200, 1500]) {
        line.reset();
        line.set(Line::CutsAfter(bytes));
        answers.push(buyer.pay(order, CARD).await);
    }
    for answer in &answers {
        assert!([201, 202].contains(&answer.status), "{}", answer.text);
    }
    line.set(Line::Passes);
    app.settle().await;
    for order in &orders {
        assert_eq!(buyer.order(order).await["status"], "complete");
    }
    assert_eq!(app.captured_minor(), 14 * 2500);
    app.assert_sound().await;
    app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_stripe_delays_payments_and_holds_no_ticket_for_longer() {
    let line = Proxy::start().await;
    let app = App::start_behind(Database::sqlite(), Jobs::None, Some(&line)).await;
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

    line.set(Line::Swallows);
    let began = Instant::now();
    let told = futures::join!(ann.pay(&anns, CARD), cara.pay(&caras, CARD));
    assert!(began.elapsed() < TOLD_WITHIN, "{:?}", began.elapsed());
    for told in [told.0, told.1] {
        assert_eq!(told.expect(202)["status"], "processing");
    }
    // Ann's time is over, grace and all; Cara's is not.
    app.clock.advance(361);
    let began = Instant::now();
    let bobs = bob.reserve(&[&first]).await.expect(201);
    assert!(began.elapsed() < WITHOUT_STRIPE, "nobody waited for Stripe");
    assert_eq!(ann.order(&anns).await["status"], "expired");

    line.set(Line::Passes);
    app.settle().await;
    assert_eq!(cara.order(&caras).await["status"], "complete");
    assert_eq!(ann.order(&anns).await["status"], "expired");
    assert_eq!(app.captured_minor(), 4000, "Ann was not charged");
    bob.pay(&bobs, CARD).await.expect(201);
    app.assert_sound().await;
}

/// A success, a conflict, or an error that says so in one shape.
fn assert_clean(answer: &Answer) {
    let Answer { status, text, .. } = answer;
    assert!([201, 202, 409, 503].contains(status), "{status} {text}");
    if *status == 503 {
        assert_eq!(answer.header("retry-after"), "1", "{text}");
    }
    if *status >= 400 {
        let says = |field: &str| {
            answer.body[field]
                .as_str()
                .is_some_and(|said| !said.is_empty())
        };
        assert!(says("code") && says("requestId"), "{status} {text:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_whose_connections_break_in_a_rush_leaves_no_half_orders() {
    let line = Proxy::start().await;
    let mut database = Database::postgres().await;
    database.url = line.in_front_of(&database.url);
    let app = App::start_with(database, Jobs::None).await;
    let seller = app.user("seller").await;
    let event = seller.event().await;
    // Also enough for orders of which nobody hears.
    seller.batch(&event, 500, 2500).await;
    let mut buyers = Vec::new();
    for _ in 0..10 {
        buyers.push(app.user("buyer").await.impatient());
    }
    let rush = join_all(buyers.iter().map(async |buyer| {
        let mut told = Vec::new();
        while told.len() < 3 {
            let reserved = buyer.reserve_any(&event, 2).await;
            assert_clean(&reserved);
            if reserved.status == 201 {
                let paid = buyer.pay(&reserved.body, CARD).await;
                assert_clean(&paid);
                told.push((buyer, reserved.body, paid.status == 201));
            }
        }
        told
    }));
    let told = while_it_breaks(&line, 30..150, rush).await;
    line.set(Line::CutsAfter(3000));
    assert_clean(&buyers[0].reserve_any(&event, 1).await);
    line.set(Line::Resets);
    for answer in [
        buyers[0].reserve_any(&event, 1).await,
        buyers[0].get("/api/events").await,
        buyers[0].get("/api/orders").await,
        app.anonymous().impatient().get("/api/tickets").await,
    ] {
        answer.refused(503, "unavailable");
    }
    line.set(Line::Passes);
    line.reset();
    app.settle().await;
    for (buyer, order, is_paid) in told.into_iter().flatten() {
        let order = buyer.order(&order).await;
        assert_eq!(order["tickets"].as_array().unwrap().len(), 2);
        assert!(!is_paid || order["status"] == "complete", "{order}");
    }
    app.assert_sound().await;
    app.close().await;
}

/// Somebody else's connection to the app's PostgreSQL, in a transaction.
async fn rival(app: &App) -> AnyConnection {
    let mut rival = AnyConnection::connect(&app.database.url).await.unwrap();
    // It never finds a circle itself.
    rival
        .execute("SET deadlock_timeout = '10min'")
        .await
        .unwrap();
    rival.execute("BEGIN").await.unwrap();
    rival
}

async fn lock(rival: &mut AnyConnection, ticket: &Value) {
    query("SELECT id FROM tickets WHERE id = $1 FOR UPDATE")
        .bind(ticket["id"].as_str().unwrap().to_owned())
        .fetch_one(rival)
        .await
        .unwrap();
}

/// How many of this database's connections wait for a lock.
const WAITING: &str = "SELECT COUNT(*) AS n FROM pg_stat_activity \
     WHERE datname = current_database() AND wait_event_type = 'Lock'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_of_postgres_that_is_not_let_go_of_is_a_clean_503() {
    let app = App::on_postgres().await;
    let seller = app.user("seller").await;
    let ticket = seller.ticket(&seller.event().await, 2500).await;
    let buyer = app.user("buyer").await;
    let mut rival = rival(&app).await;
    lock(&mut rival, &ticket).await;
    let answer = buyer.impatient().reserve(&[&ticket]).await;
    assert_eq!(answer.header("retry-after"), "1");
    answer.refused(503, "unavailable");
    rival.execute("ROLLBACK").await.unwrap();
    buyer.reserve(&[&ticket]).await.expect(201);
    app.assert_sound().await;
    app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reservation_that_postgres_breaks_out_of_a_circle_is_tried_again() {
    let app = App::on_postgres().await;
    let seller = app.user("seller").await;
    let event = seller.event().await;
    let (first, second) = (
        seller.ticket(&event, 2500).await,
        seller.ticket(&event, 2500).await,
    );
    let buyer = app.user("buyer").await;
    let mut rival = rival(&app).await;
    lock(&mut rival, &second).await;
    let reserving = tokio::spawn({
        let (first, second) = (first.clone(), second);
        async move { buyer.reserve(&[&first, &second]).await }
    });
    while app.number(WAITING).await == 0 {
        tokio::task::yield_now().await;
    }
    // Ours only once PostgreSQL has broken the buyer's transaction, which holds it.
    lock(&mut rival, &first).await;
    assert!(!reserving.is_finished());
    rival.execute("ROLLBACK").await.unwrap();
    let order = reserving.await.unwrap().expect(201);
    assert_eq!(order["tickets"].as_array().unwrap().len(), 2);
    app.assert_sound().await;
    app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_silent_or_breaks_makes_no_hold_longer() {
    let redis = Redis::start().await;
    let silent = async {
        let line = Proxy::start().await;
        let url = line.in_front_of(&redis.url);
        line.set(Line::Swallows);
        let story = held(Database::sqlite(), Jobs::InRedis(url)).await;
        story.expired_within(BY_SWEEP).await;
    };
    let silenced = async {
        let line = Proxy::start().await;
        let url = line.in_front_of(&redis.url);
        let story = held(Database::sqlite(), Jobs::InRedis(url)).await;
        line.set(Line::Swallows);
        story.sellable_at_the_holds_end().await;
    };
    let breaking = async {
        let line = Proxy::start().await;
        let url = line.in_front_of(&redis.url);
        let story = held(Database::sqlite(), Jobs::InRedis(url)).await;
        while_it_breaks(&line, 50..400, story.expired_within(BY_SWEEP)).await;
        line.set(Line::Resets);
        story.bob.reserve(&[&story.ticket]).await.expect(201);
    };
    tokio::join!(silent, silenced, breaking);
}

on_both_engines! {
    async fn an_hour_forward_ends_a_hold_and_an_hour_back_only_lengthens_it(app) {
        let (seller, ann, bob) =
            (app.user("seller").await, app.user("ann").await, app.user("bob").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = ann.reserve(&[&ticket]).await.expect(201);
        let stands = async || {
            let order = ann.order(&order).await;
            (order["status"].as_str().unwrap().to_owned(), order["secondsLeft"].as_i64().unwrap())
        };
        let edit = async || {
            let body = json!({"priceMinor": 9900, "version": 2});
            seller.put(&client::path("tickets", &ticket), body).await
        };

        app.clock.advance(-HOUR);
        assert_eq!(stands().await, ("created".to_owned(), 900 + HOUR));
        edit().await.refused(409, "ticket_reserved");
        let refused = bob.reserve(&[&ticket]).await.refused(409, "ticket_reserved");
        assert_eq!(refused["retryAfterSeconds"], 900 + HOUR);
        assert_eq!(app.sweep().await, 0);

        app.clock.advance(2 * HOUR);
        assert_eq!(stands().await, ("expired".to_owned(), 0));
        assert_eq!(bob.ticket_now(&ticket).await["status"], "available");
        ann.pay(&order, CARD).await.refused(409, "order_expired");

        // Back before anybody has tidied up: it was held at this time, and is.
        app.clock.advance(-HOUR);
        assert_eq!(stands().await, ("created".to_owned(), 900));
        edit().await.refused(409, "ticket_reserved");

        // Back after that: what has ended stays so.
        app.clock.advance(HOUR);
        assert_eq!(app.sweep().await, 1);
        app.clock.advance(-HOUR);
        assert_eq!(stands().await.0, "expired");
        let order = bob.reserve(&[&ticket]).await.expect(201);
        bob.pay(&order, CARD).await.expect(201);
        app.assert_sound().await;
    }

    async fn a_payment_ends_whichever_way_the_clock_is_moved(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        let buyer = app.user("buyer").await;
        for moved in [-HOUR, HOUR] {
            let ticket = seller.ticket(&event, 2500).await;
            let order = buyer.reserve(&[&ticket]).await.expect(201);
            let payment = buyer.pay(&order, CAREFUL).await.expect(202);
            app.clock.advance(moved);
            app.approve_at_bank(&payment);
            app.webhooks_arrive().await;
            app.settle().await;
            // An hour later its hold was over; the ticket is free, so it is taken back.
            assert_eq!(buyer.order(&order).await["status"], "complete", "moved by {moved}");
        }
        app.assert_sound().await;
    }
}
