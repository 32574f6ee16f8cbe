//! Large batches of listings: published all or none, and limited per seller and day.

use crate::{
    crash::process::{Holds, Shop},
    live::Listener,
    support::{
        App, Client,
        client::PASSWORD,
        database::Database,
        on_both_engines,
        staging::{self, Offer, Staging},
    },
};
use model::tickets::OfferFilter;
use platform::{clock::Clock, outbox};
use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection, Executor};
use std::time::Duration;

const DAY_SECONDS: i64 = 24 * 3600;
const ABORTS_WITHIN: Duration = Duration::from_mins(1);

/// Cheaper than all other tickets in these tests.
fn cheap_offer(seller: &Client, event: &Value) -> Offer {
    Offer {
        seller: seller.id.parse().unwrap(),
        event: event["id"].as_str().unwrap().parse().unwrap(),
        currency: event["currency"].as_str().unwrap().parse().unwrap(),
        price_minor: 100,
    }
}

async fn open_batch(app: &App, seller: &Client, event: &Value, quantity: i64) -> Option<Staging> {
    staging::open(
        &app.db,
        cheap_offer(seller, event),
        quantity,
        app.clock.now(),
    )
    .await
}

/// Opens a batch of `quantity` tickets and stages `staged` of them.
async fn stage_batch(
    app: &App,
    seller: &Client,
    event: &Value,
    quantity: i64,
    staged: usize,
) -> Staging {
    let batch = open_batch(app, seller, event, quantity).await;
    let mut batch = batch.expect("the seller has no open batch");
    assert!(batch.stage(&app.db, staged, app.clock.now()).await);
    batch
}

async fn publish_batch(app: &App, staging: &Staging) -> bool {
    staging.publish(&app.db).await
}

async fn abandon_batch(app: &App, staging: &Staging) -> bool {
    staging.abandon(&app.db, app.clock.now()).await
}

async fn count_listed(reader: &Client, event: &Value) -> usize {
    let path = format!(
        "/api/tickets?limit=100&eventId={}",
        event["id"].as_str().unwrap()
    );
    let list = reader.get(&path).await.expect(200);
    list["tickets"].as_array().unwrap().len()
}

async fn count_available(app: &App, event: &Value) -> i64 {
    let event = event["id"].as_str().unwrap().parse().unwrap();
    app.api
        .tickets
        .list_offers(event, OfferFilter::default())
        .await
        .unwrap()
        .available
}

fn batch_body(event: &Value, quantity: i64) -> Value {
    json!({"eventId": event["id"], "priceMinor": 2500, "quantity": quantity})
}

on_both_engines! {
    async fn a_large_batch_is_published_completely(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        let ids = seller.batch(&event, 250, 2500).await;
        assert_eq!(ids.len(), 250);
        assert_eq!(count_available(app, &event).await, 250);
        let order = buyer.reserve_any(&event, 4).await.expect(201);
        buyer.pay_to_the_end(&order).await;
        app.assert_sound().await;
    }

    async fn staged_tickets_are_neither_shown_nor_sold_nor_changed(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event().await;
        let batch = stage_batch(app, &seller, &event, 3, 3).await;
        assert_eq!(count_available(app, &event).await, 0);
        assert_eq!(count_listed(&buyer, &event).await, 0);
        buyer.reserve_any(&event, 1).await.refused(409, "not_enough_tickets");
        let named = json!({"ticketIds": [batch.batch.span.0]});
        let named = buyer.post("/api/orders", named).await;
        assert_eq!(named.status, 409, "{}", named.body);
        let mine = seller.get("/api/tickets?sellerId=me").await.expect(200);
        assert_eq!(mine["tickets"], json!([]));
        let repriced = json!({"eventId": event["id"], "priceMinor": 9900});
        seller.post("/api/selling/reprice", repriced).await;
        let staged = format!("/api/tickets/{}", batch.batch.span.0.0);
        seller.get(&staged).await.refused(404, "not_found");
        let edited = json!({"version": 1, "priceMinor": 9900});
        seller.put(&staged, edited).await.refused(404, "not_found");
        seller.delete(&staged).await.refused(404, "not_found");
        let (waiting, _) = outbox::backlog(&app.db).await.unwrap();
        app.assert_sound().await;

        // A published ticket is sold, although cheaper ones are staged.
        let shown = seller.ticket(&event, 2500).await;
        let order = buyer.reserve_any(&event, 1).await.expect(201);
        assert_eq!(order["tickets"][0]["id"], shown["id"]);
        buyer.cancel(&order).await.expect(204);

        assert!(publish_batch(app, &batch).await);
        assert!(!publish_batch(app, &batch).await, "published only once");
        assert_eq!(count_available(app, &event).await, 4);
        assert_eq!(count_listed(&buyer, &event).await, 4);
        let (all, _) = outbox::backlog(&app.db).await.unwrap();
        assert!(all >= waiting + 3, "{all} events in the outbox, {waiting} before");
        let order = buyer.reserve_any(&event, 3).await.expect(201);
        let prices = order["tickets"].as_array().unwrap().iter();
        assert!(prices.clone().all(|ticket| ticket["priceMinor"] == 100), "{order}");
        app.assert_sound().await;
    }

    /// Nor is a published batch abandoned.
    async fn an_abandoned_batch_is_not_published(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        let abandoned = stage_batch(app, &seller, &event, 2, 2).await;
        assert!(abandon_batch(app, &abandoned).await);
        assert!(!publish_batch(app, &abandoned).await);
        assert!(!abandon_batch(app, &abandoned).await);
        let mut incomplete = stage_batch(app, &seller, &event, 3, 2).await;
        assert!(!publish_batch(app, &incomplete).await, "one ticket is missing");
        assert!(abandon_batch(app, &incomplete).await);
        assert!(!incomplete.stage(&app.db, 1, app.clock.now()).await, "into an abandoned batch");
        let published = stage_batch(app, &seller, &event, 2, 2).await;
        assert!(publish_batch(app, &published).await);
        assert!(!abandon_batch(app, &published).await);
        app.tickets.delete_abandoned_batches().await.unwrap();
        assert_eq!(count_available(app, &event).await, 2);
        assert_eq!(app.number("SELECT COUNT(*) AS n FROM tickets").await, 2);
        assert_eq!(app.number("SELECT COUNT(*) AS n FROM listing_batches").await, 1);
        app.assert_sound().await;
    }

    /// Also if both requests have found no open batch before they open their own.
    async fn a_second_batch_of_a_seller_is_not_opened(app) {
        let (seller, other) = (app.user("seller").await, app.user("other").await);
        let event = seller.event().await;
        let first = open_batch(app, &seller, &event, 2).await.unwrap();
        assert!(open_batch(app, &seller, &event, 2).await.is_none());
        assert!(open_batch(app, &other, &event, 2).await.is_some(), "another seller's");
        let asked = seller.post("/api/tickets/batch", batch_body(&event, 150)).await;
        let refused = asked.refused(409, "listing_in_progress");
        assert_eq!(refused["retryAfterSeconds"], 5, "after 20 seconds");
        assert!(abandon_batch(app, &first).await);
        seller.batch(&event, 150, 2500).await;
        app.assert_sound().await;
    }

    async fn a_batch_that_stalls_is_deleted_with_its_events(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        let count_events = "SELECT COUNT(*) AS n FROM outbox WHERE aggregate_type = 'ticket'";
        stage_batch(app, &seller, &event, 500, 450).await;
        app.clock.advance(50);
        app.tickets.delete_abandoned_batches().await.unwrap();
        assert_eq!(app.number(count_events).await, 450, "not yet considered stalled");
        app.clock.advance(11);
        app.tickets.delete_abandoned_batches().await.unwrap();
        assert_eq!(app.number(count_events).await, 0);
        assert_eq!(app.number("SELECT COUNT(*) AS n FROM tickets").await, 0);
        assert_eq!(app.number("SELECT COUNT(*) AS n FROM listing_batches").await, 0);
        seller.batch(&event, 150, 2500).await;
        app.assert_sound().await;
    }

    async fn two_concurrent_batches_of_a_seller_are_published_in_turn(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        let count_open = "SELECT COUNT(*) AS n FROM listing_batches \
             WHERE publication IS NULL AND abandoned_at IS NULL";
        let (one, other) = tokio::join!(
            seller.post("/api/tickets/batch", batch_body(&event, 150)),
            seller.post("/api/tickets/batch", batch_body(&event, 150)),
        );
        // The second waits for the first.
        one.expect(201);
        other.expect(201);
        assert_eq!(count_available(app, &event).await, 300);
        assert_eq!(app.number(count_open).await, 0);
        app.assert_sound().await;
    }

    async fn a_repeated_batch_request_lists_once(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        let body = batch_body(&event, 150);
        let key = [("idempotency-key", "twice")];
        let request = || seller.json("POST", "/api/tickets/batch", &key, body.clone());
        let first = request().await.expect(201);
        // As if the first response had not been stored.
        app.write_sql("DELETE FROM idempotency_keys WHERE key = $1", "twice".to_owned()).await;
        assert_eq!(request().await.expect(201), first);
        assert_eq!(count_available(app, &event).await, 150);
        assert_eq!(app.number("SELECT COUNT(*) AS n FROM tickets").await, 150);
        app.assert_sound().await;
    }

    async fn a_seller_lists_a_limited_number_of_tickets_a_day(app) {
        let (seller, other) = (app.user("seller").await, app.user("other").await);
        let event = seller.event().await;
        seller.ticket(&event, 2500).await;
        app.write_sql("UPDATE listing_usage SET tickets = 99990 WHERE seller_id = $1", seller.id.clone()).await;
        app.limits_on();
        for quantity in [11, 150] {
            let refused = seller.post("/api/tickets/batch", batch_body(&event, quantity)).await;
            let body = refused.refused(409, "listing_limit");
            let wait = body["retryAfterSeconds"].as_i64().unwrap();
            assert!((1..=DAY_SECONDS + 1).contains(&wait), "{body}");
        }
        seller.batch(&event, 10, 2500).await;
        let one = json!({"eventId": event["id"], "priceMinor": 2500});
        seller.post("/api/tickets", one.clone()).await.refused(409, "listing_limit");
        other.post("/api/tickets", one.clone()).await.expect(201);
        assert_eq!(app.number("SELECT COUNT(*) AS n FROM tickets").await, 12);
        app.clock.advance(DAY_SECONDS);
        seller.post("/api/tickets", one).await.expect(201);
        app.assert_sound().await;
    }

    async fn tickets_of_an_event_that_has_begun_are_not_listed(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        let begin_event = "UPDATE events SET starts_at = 1 WHERE id = $1";
        app.write_sql(begin_event, event["id"].as_str().unwrap().to_owned()).await;
        seller.post("/api/tickets/batch", batch_body(&event, 150)).await.refused(409, "event_over");
        app.tickets.delete_abandoned_batches().await.unwrap();
        assert_eq!(app.number("SELECT COUNT(*) AS n FROM tickets").await, 0);
        assert_eq!(app.number("SELECT COUNT(*) AS n FROM listing_batches").await, 0);
    }

    async fn an_abandoned_batch_does_not_count_towards_the_daily_limit(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        seller.batch(&event, 150, 2500).await;
        let used = "SELECT CAST(SUM(tickets) AS BIGINT) AS n FROM listing_usage";
        assert_eq!(app.number(used).await, 150);
        app.write_sql("UPDATE listing_usage SET tickets = tickets + 10 WHERE seller_id = $1", seller.id.clone()).await;
        let abandoned = open_batch(app, &seller, &event, 10).await.unwrap();
        assert!(abandon_batch(app, &abandoned).await);
        assert!(!abandon_batch(app, &abandoned).await, "subtracted once");
        assert_eq!(app.number(used).await, 150);
        app.write_sql("UPDATE listing_usage SET tickets = tickets + 10 WHERE seller_id = $1", seller.id.clone()).await;
        open_batch(app, &seller, &event, 10).await.unwrap();
        app.clock.advance(61);
        app.tickets.delete_abandoned_batches().await.unwrap();
        assert_eq!(app.number(used).await, 150);
    }
}

async fn check_streams_reread_after_a_batch(database: Database) {
    let app = App::start_with(database, crate::support::Jobs::InProcess).await;
    let seller = app.user("seller").await;
    let event = seller.event().await;
    let mut listener = Listener::open(&app.base, &event, None).await;
    let first = seller.ticket(&event, 2500).await;
    let (last, _) = listener.until(&first, "available").await;
    seller.batch(&event, 150, 2500).await;
    listener.until_reread().await;
    let other = seller.ticket(&event, 2600).await;
    listener.until(&other, "available").await;
    // A client that reconnects rereads as well.
    let mut reconnected = Listener::open(&app.base, &event, Some(&last)).await;
    reconnected.until_reread().await;
    app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_reread_after_a_batch_sqlite() {
    check_streams_reread_after_a_batch(Database::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_reread_after_a_batch_postgres() {
    check_streams_reread_after_a_batch(Database::postgres().await).await;
}

/// Asserts that the tickets of the batch are not sold after a restart.
async fn check_crash_during_a_batch(database: Database) {
    let holds = Holds {
        seconds: 120,
        grace_seconds: 1,
    };
    let mut shop = Shop::open(database, holds).await;
    let seller = Client::sign_up(&shop.base, "seller").await;
    let event = seller.event().await;
    shop.kill().await;
    shop.start(Some("listing_staged:2")).await;
    let asked = seller
        .try_send(
            "POST",
            "/api/tickets/batch",
            &[("content-type", "application/json")],
            batch_body(&event, 350).to_string(),
        )
        .await;
    assert!(asked.is_err(), "the server crashes before it responds");
    shop.wait_for_abort(ABORTS_WITHIN).await;
    let mut conn = AnyConnection::connect(&shop.database_url()).await.unwrap();
    let left = count(&mut conn, "SELECT COUNT(*) AS n FROM tickets").await;
    assert_eq!(left, 80, "two transactions of 40");
    // As if a minute had passed.
    conn.execute("UPDATE listing_batches SET staged_at = 0")
        .await
        .unwrap();
    conn.close().await.unwrap();
    shop.start(None).await;
    assert_eq!(count_listed(&seller, &event).await, 0);
    let mut conn = AnyConnection::connect(&shop.database_url()).await.unwrap();
    let began = std::time::Instant::now();
    while count(&mut conn, "SELECT COUNT(*) AS n FROM listing_batches").await > 0 {
        assert!(
            began.elapsed() < ABORTS_WITHIN,
            "the abandoned batch was not deleted"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        count(&mut conn, "SELECT COUNT(*) AS n FROM tickets").await,
        0
    );
    conn.close().await.unwrap();
    seller.batch(&event, 150, 2500).await;
    assert_eq!(count_listed(&seller, &event).await, 100, "a page of them");
    shop.close().await;
}

async fn count(conn: &mut AnyConnection, sql: &'static str) -> i64 {
    let row = conn.fetch_one(sql).await.unwrap();
    sqlx::Row::get(&row, "n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_server_crashes_is_not_sold_sqlite() {
    check_crash_during_a_batch(Database::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_server_crashes_is_not_sold_postgres() {
    check_crash_during_a_batch(Database::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_whose_batch_is_being_published_is_not_deleted_postgres() {
    let app = App::on_postgres().await;
    let seller = app.user("seller").await;
    let event = seller.event().await;
    let batch = stage_batch(&app, &seller, &event, 2, 2).await;
    let mut publishing = AnyConnection::connect(&app.database.url).await.unwrap();
    publishing.execute("BEGIN").await.unwrap();
    for sql in [
        format!("SELECT id FROM users WHERE id = '{}' FOR UPDATE", seller.id),
        format!(
            "UPDATE listing_batches SET publication = id WHERE id = '{}'",
            batch.batch.id
        ),
    ] {
        publishing.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    }
    let deleting = tokio::spawn({
        let seller = seller.clone();
        let body = json!({"password": PASSWORD});
        async move { seller.json("DELETE", "/api/user", &[], body).await }
    });
    // The request has withdrawn the listings by then, and waits for the lock on the account.
    let waiting = "SELECT COUNT(*) AS n FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while app.number(waiting).await == 0 {
        tokio::task::yield_now().await;
    }
    publishing.execute("COMMIT").await.unwrap();
    deleting.await.unwrap().refused(409, "account_sale_open");
    assert_eq!(count_available(&app, &event).await, 2);
    app.close().await;
}
