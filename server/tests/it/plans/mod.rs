//! Tests that no statement of a request scans a whole large table: the real server runs on a large database and
//! logs its statements, and the database engine explains the plan of each.
//!
//! `STAGEDOOR_TEST_TICKETS` is the number of tickets; `make soak` uses a million.

mod explain;
mod fill;

use crate::{
    crash::process::{Holds, Shop},
    support::{Client, client::PASSWORD, database::Database, path},
};
use explain::LargeTables;
use platform::{
    clock::{Clock, SystemClock},
    db::{Db, Engine},
};
use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection, Executor};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

const TICKETS: i64 = 100_000;
const CARD: &str = "pm_card_visa";
const CARD_WITH_ACTION: &str = "pm_card_threeDSecure2Required";
/// Long enough for a payment on two busy cores.
const HOLD_SECONDS: u32 = 15;
/// Time limit for the expiry and the refund, on two busy cores, with a sweep every ten seconds.
const STATUS_TIMEOUT: Duration = Duration::from_secs(90);
/// Exceptions: the start of the statement, the table or index that it may scan, and the reason.
const ALLOWED: [(&str, &str, &str); 5] = [
    (
        "SELECT (SELECT MIN(city) FROM events",
        "events_by_city",
        COUNTS_CITIES,
    ),
    (
        "SELECT (SELECT MIN(city) FROM events",
        "events",
        COUNTS_CITIES,
    ),
    (
        "SELECT e.id, e.title, e.venue, e.city, e.starts_at",
        "events",
        "A seller's events, joined with all events: PostgreSQL estimates that to be cheaper than a lookup of each.",
    ),
    (
        "SELECT payload FROM stripe_inbox ORDER BY received_at DESC LIMIT 1",
        "stripe_inbox",
        RUNS_ONCE,
    ),
    (
        "SELECT stripe_id FROM payments WHERE stripe_id IS NOT NULL",
        "payments",
        RUNS_ONCE,
    ),
];
const RUNS_ONCE: &str =
    "Runs once per database, to find out with which provider its older payments were made.";
const COUNTS_CITIES: &str =
    "The cities of all current events are counted: thousands of short rows.";

fn tickets() -> i64 {
    match std::env::var("STAGEDOOR_TEST_TICKETS") {
        Ok(number) => number.parse().expect("STAGEDOOR_TEST_TICKETS is a number"),
        Err(_) => TICKETS,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_of_a_request_scans_a_large_table_of_sqlite() {
    assert_no_large_scans(Database::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_of_a_request_scans_a_large_table_of_postgresql() {
    assert_no_large_scans(Database::postgres().await).await;
}

async fn assert_no_large_scans(database: Database) {
    let (url, began) = (database.url.clone(), Instant::now());
    Db::open(&url).await.unwrap().close().await;
    fill::fill(&url, tickets(), SystemClock.now().micros()).await;
    println!("{} tickets in {:?}", tickets(), began.elapsed());

    let holds = Holds {
        seconds: HOLD_SECONDS,
        grace_seconds: 1,
    };
    let shop = Shop::open_with_log(database, holds, "warn,sqlx::query=debug").await;
    use_all_operations(&shop).await;
    let statements = statements(&shop.server_log());
    println!(
        "{} statements after {:?}",
        statements.len(),
        began.elapsed()
    );
    assert!(statements.len() > 100, "{statements:#?}");

    let engine = Engine::of(&url).unwrap();
    let mut conn = AnyConnection::connect(&url).await.unwrap();
    if engine == Engine::Sqlite {
        // Otherwise the plans of DELETE include the checks of foreign keys.
        conn.execute("PRAGMA foreign_keys = OFF").await.unwrap();
    }
    // SQLite has no statistics until ANALYZE is run, so both cases are checked.
    let without_statistics = match engine {
        Engine::Sqlite => plans_without_statistics(&mut conn, &statements).await,
        Engine::Postgres => Vec::new(),
    };
    conn.execute("ANALYZE").await.unwrap();
    let large = LargeTables::read(&mut conn, engine).await;
    for table in [
        "tickets",
        "orders",
        "order_lines",
        "outbox",
        "events",
        "users",
    ] {
        assert!(large.has(table), "{table} is not large");
    }
    let (scan, _) = large
        .scans(&mut conn, "SELECT id FROM tickets WHERE seat = $1")
        .await;
    assert_eq!(scan.len(), 1, "a full scan is not detected");
    let mut found = Vec::new();
    for (sql, plan) in &without_statistics {
        found.extend(disallowed(large.scans_in_plan(plan, sql), sql, plan));
    }
    for sql in &statements {
        let (scanned, plan) = large.scans(&mut conn, sql).await;
        found.extend(disallowed(scanned, sql, &plan));
    }
    conn.close().await.unwrap();
    shop.close().await;
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}

async fn plans_without_statistics(
    conn: &mut AnyConnection,
    statements: &BTreeSet<String>,
) -> Vec<(String, String)> {
    let mut plans = Vec::new();
    for sql in statements {
        plans.push((sql.clone(), explain::plan_of_sqlite(conn, sql).await));
    }
    plans
}

fn disallowed(scanned: Vec<String>, sql: &str, plan: &str) -> Option<String> {
    let scanned: Vec<String> = scanned
        .into_iter()
        .filter(|what| {
            let allowed = |(start, through, _): &(&str, &str, &str)| {
                sql.starts_with(start) && what.ends_with(&format!(" by {through}"))
            };
            !ALLOWED.iter().any(allowed)
        })
        .collect();
    (!scanned.is_empty()).then(|| format!("{}\n{sql}\n{plan}", scanned.join(", ")))
}

/// The distinct statements in the server's log.
fn statements(log: &str) -> BTreeSet<String> {
    log.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["target"] == "sqlx::query")
        .filter_map(|line| Some(line["fields"]["db.statement"].as_str()?.trim().to_owned()))
        .filter(|sql| {
            let first = sql.split_whitespace().next().unwrap_or_default();
            ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].contains(&first)
        })
        // Excludes queries about the schema at the start.
        .filter(|sql| {
            !["pragma_", "pg_", "information_schema", "sqlite_"]
                .iter()
                .any(|name| sql.contains(name))
        })
        .collect()
}

/// Uses all features of the shop, and waits for the periodic tasks.
async fn use_all_operations(shop: &Shop) {
    let (seller, buyer) = (
        Client::sign_up(&shop.base, "seller").await,
        Client::sign_up(&shop.base, "buyer").await,
    );
    let event = seller.event().await;
    // Live changes are streamed until the end.
    let url = format!("{}{}/stream", shop.base, path("events", &event));
    let stream = reqwest::get(url).await.unwrap();
    assert!(stream.status().is_success());
    seller.batch(&event, 30, 2500).await;
    browse(&buyer, &event).await;
    let (unpaid, refunded) = buy(&seller, &buyer, &event).await;
    sell(&seller, &event).await;
    use_account(&buyer).await;
    wait_for_status(&buyer, &unpaid, "expired").await;
    wait_for_status(&buyer, &refunded, "refunded").await;
    drop(stream);
}

async fn browse(buyer: &Client, event: &Value) {
    let large_event = "/events/01930000-0002-7000-8000-100000002600";
    for page in [
        "/",
        "/?q=night+2600",
        "/?city=City3",
        "/?category=music",
        "/?when=week",
        "/orders",
        "/tickets",
        "/selling",
        "/sell",
        "/account",
        large_event,
    ] {
        buyer.page(page).await;
    }
    let day = "from=2026-01-01T00:00:00Z&to=2100-01-01T00:00:00Z";
    for call in [
        "events".to_owned(),
        format!("events?q=hall&city=city7&category=sport&when=month&{day}&limit=5"),
        "tickets?limit=50".to_owned(),
        "tickets?status=available&limit=50".to_owned(),
        "tickets?status=reserved".to_owned(),
        "tickets?status=sold&limit=5".to_owned(),
        "tickets?sellerId=me&status=sold".to_owned(),
        format!("tickets?eventId={}&status=available", &large_event[8..]),
        format!("tickets?eventId={}&status=sold", &large_event[8..]),
        "orders".to_owned(),
        path("events", event)[5..].to_owned(),
    ] {
        let answer = buyer.get(&format!("/api/{call}")).await.expect(200);
        if let Some(next) = answer["next"].as_str() {
            let separator = if call.contains('?') { '&' } else { '?' };
            buyer
                .get(&format!("/api/{call}{separator}cursor={next}"))
                .await
                .expect(200);
        }
    }
    buyer.get("/readyz").await.expect_2xx();
    buyer.get("/metrics").await.expect_2xx();
}

/// Returns an unpaid order, and one that is paid and refunded.
async fn buy(seller: &Client, buyer: &Client, event: &Value) -> (Value, Value) {
    let ticket = seller.ticket(event, 900).await;
    let lapsing = buyer.reserve(&[&ticket]).await.expect(201);
    buyer
        .reserve(&[&ticket])
        .await
        .refused(409, "ticket_reserved");
    buyer.more_time(&lapsing).await;
    let section = json!({"eventId": event["id"], "quantity": 2, "section": "", "maxPriceMinor": 1});
    buyer.post("/api/orders", section).await;
    let cancelled = buyer.reserve_any(event, 2).await.expect(201);
    buyer.cancel(&cancelled).await.expect_2xx();
    let unpaid = buyer.reserve_any(event, 1).await.expect(201);
    buyer.pay(&unpaid, CARD_WITH_ACTION).await.expect(202);
    let key = [
        ("idempotency-key", "one"),
        ("content-type", "application/json"),
    ];
    let body = json!({"eventId": event["id"], "quantity": 2}).to_string();
    let bought = buyer
        .send("POST", "/api/orders", &key, body)
        .await
        .expect(201);
    let payment = buyer.pay(&bought, CARD).await.expect(201);
    buyer.get(&path("payments", &payment)).await.expect(200);
    for part in ["", "/timeline", "/passes"] {
        buyer
            .get(&format!("{}{part}", path("orders", &bought)))
            .await
            .expect(200);
    }
    for page in [String::new(), "/tickets".to_owned()] {
        buyer
            .page(&format!("/orders/{}{page}", bought["id"].as_str().unwrap()))
            .await;
    }
    buyer.page("/orders").await;
    buyer.page("/tickets").await;
    seller.refund_order(&bought).await.expect_2xx();
    (lapsing, bought)
}

async fn sell(seller: &Client, event: &Value) {
    let reprice = json!({"eventId": event["id"], "priceMinor": 3000});
    seller
        .post("/api/selling/reprice", reprice)
        .await
        .expect(200);
    let ticket = seller.ticket(event, 1200).await;
    let edit = json!({"priceMinor": 1300, "version": 1});
    seller
        .put(&path("tickets", &ticket), edit)
        .await
        .expect(200);
    seller.delete(&path("tickets", &ticket)).await.expect_2xx();
    for call in [
        "/api/selling",
        "/api/selling/days",
        "/api/tickets/sales.csv",
        "/api/user/owed",
    ] {
        seller.get(call).await.expect_2xx();
    }
    seller.page("/selling").await;
    seller
        .post("/api/selling/withdraw", json!({"eventId": event["id"]}))
        .await
        .expect(200);
}

async fn use_account(buyer: &Client) {
    buyer.get("/api/user/currentuser").await.expect(200);
    buyer.get("/api/user/sessions").await.expect(200);
    buyer.page("/account").await;
    buyer.page("/account/delete").await;
    buyer
        .post("/api/user/forgot", json!({"email": buyer.email}))
        .await
        .expect_2xx();
    buyer.post("/api/user/signout", json!({})).await.expect(204);
    let credentials = json!({"email": buyer.email, "password": PASSWORD});
    buyer
        .post("/api/user/signin", credentials)
        .await
        .expect(200);
}

async fn wait_for_status(buyer: &Client, order: &Value, status: &str) {
    let began = Instant::now();
    while buyer.order(order).await["status"] != status {
        assert!(
            began.elapsed() < STATUS_TIMEOUT,
            "the order does not become {status}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
