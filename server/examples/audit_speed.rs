//! Measures `stagedoor audit` on a large shop: fills a database with tickets and all that belongs
//! to them (orders, payments, calls, books, refunds, and every row of the outbox), set-based and
//! in the shape that the server leaves behind; then audits it beside a journal of the same
//! payments, and prints what each invariant took. Fails unless everything holds.
//!
//! Of every 20 tickets 12 are sold, 1 is paid back, 1 is held, 4 were in an order that expired,
//! and 2 are as they were listed; an order has 2 tickets, those paid back and held have 1.
//!
//! It does not measure a busy server: nobody writes meanwhile. Nor Stripe, whose pages take as
//! long as the network does.

use anyhow::{Context, Result, ensure};
use clap::{Parser, value_parser};
use platform::{
    clock::{Clock, SystemClock},
    db::{Db, Engine},
};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor, Row};
use stagedoor::audit::{Provider, Verdict, audit};
use std::{collections::BTreeMap, time::Instant};
use stripe_double::JournalLine;

/// Measures `stagedoor audit` on a large shop
#[derive(Debug, Parser)]
#[command(name = "audit_speed")]
struct Args {
    /// An empty database to fill, or one filled before: `sqlite://…` or `postgres://…`
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// How many tickets
    #[arg(long, default_value_t = 1_000_000, value_parser = value_parser!(i64).range(20..))]
    tickets: i64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let now = SystemClock.now();
    let db = Db::open(&args.database_url).await?;
    let mut conn = AnyConnection::connect(&args.database_url).await?;
    let filled: i64 = conn
        .fetch_one("SELECT COUNT(*) AS n FROM tickets")
        .await?
        .try_get("n")?;
    if filled == 0 {
        let began = Instant::now();
        fill(&mut conn, args.tickets, now.micros()).await?;
        eprintln!("filled in {:.1} s", began.elapsed().as_secs_f64());
    }
    // What autovacuum, or weeks of `PRAGMA optimize`, would have done by now.
    let tidy = match db.engine() {
        Engine::Sqlite => "PRAGMA wal_checkpoint(TRUNCATE)",
        Engine::Postgres => "VACUUM ANALYZE",
    };
    conn.execute(tidy).await?;
    let journal = journal(&mut conn).await?;
    conn.close().await?;

    let began = Instant::now();
    let report = audit(&db, Provider::Journal(journal), now).await?;
    let took = began.elapsed();
    print!("{report}");
    println!("{:?}", report.counts.rows);
    println!("{:.1} s in all", took.as_secs_f64());
    db.close().await;
    ensure!(report.verdict == Verdict::Holds, "not everything holds");
    Ok(())
}

/// What the provider would say of all payments.
async fn journal(conn: &mut AnyConnection) -> Result<Vec<JournalLine>> {
    let rows = sqlx::query(
        "SELECT id, stripe_id, state, amount_minor, received_minor, refunded_minor FROM payments",
    )
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            let captured: i64 = row.try_get("received_minor")?;
            let status = if captured > 0 {
                "succeeded"
            } else {
                "canceled"
            };
            Ok(JournalLine {
                id: row.try_get("stripe_id")?,
                status: status.to_owned(),
                amount: row.try_get("amount_minor")?,
                amount_received: captured,
                amount_refunded: row.try_get("refunded_minor")?,
                currency: "gbp".to_owned(),
                metadata: BTreeMap::from([("payment_id".to_owned(), row.try_get("id")?)]),
            })
        })
        .collect()
}

/// An id of this kind for the number that `number` is in SQL; it sorts as the number does.
fn id(kind: u8, number: &str) -> String {
    format!("'01930000-000{kind}-7000-8000-' || CAST(100000000000 + {number} AS TEXT)")
}

/// Statements that fill the tables. `$COUNT` is the number of tickets, `$NOW` the present, and each
/// ticket's `k`, its number modulo 20, says what became of it.
async fn fill(conn: &mut AnyConnection, tickets: i64, now: i64) -> Result<()> {
    conn.execute("CREATE TABLE numbers (i BIGINT PRIMARY KEY, k BIGINT, o BIGINT)")
        .await?;
    let mut steps = vec![
        "INSERT INTO numbers (i, k, o) WITH RECURSIVE n(i) AS (SELECT CAST(0 AS BIGINT) \
         UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $COUNT) SELECT i, i % 20, i - i % 2 FROM n"
            .to_owned(),
        // What is sold, and what had expired, came in twos: their order has the even number.
        "UPDATE numbers SET o = i WHERE k = 12 OR k = 13".to_owned(),
    ];
    steps.extend(people_and_tickets());
    steps.extend(orders());
    steps.extend(money());
    steps.extend(outbox());
    steps.push("DROP TABLE numbers".to_owned());
    for step in &steps {
        let began = Instant::now();
        let sql = step
            .replace("$COUNT", &tickets.to_string())
            .replace("$NOW", &now.to_string())
            .replace("$TICKET", &id(3, "i"))
            .replace("$ORDER", &id(4, "o"))
            .replace("$PAYMENT", &id(5, "o"))
            .replace("$REFUND", &id(6, "o"))
            .replace("$SELLER", "'01930000-0001-7000-8000-000000000001'")
            .replace("$BUYER", "'01930000-0001-7000-8000-000000000002'")
            .replace("$EVENT", "'01930000-0002-7000-8000-000000000001'");
        conn.execute(AssertSqlSafe(sql.clone()))
            .await
            .with_context(|| sql.clone())?;
        let start: String = sql.chars().take(60).collect();
        eprintln!("{:6.1} s  {start}", began.elapsed().as_secs_f64());
    }
    Ok(())
}

fn people_and_tickets() -> Vec<String> {
    let person = |id: &str, name: &str| {
        format!(
            "INSERT INTO users (id, email, email_key, name, password_hash, version, created_at) \
             VALUES ({id}, '{name}', '{name}', '{name}', '', 1, 0)"
        )
    };
    vec![
        person("$SELLER", "seller"),
        person("$BUYER", "buyer"),
        "INSERT INTO events (id, creator_id, title, description, venue, city, country, starts_at, \
         time_zone, currency, search_text, city_key, version, created_at) VALUES ($EVENT, $SELLER, \
         'Late Show', '', 'Old Hall', 'Leeds', 'GB', $NOW, 'Europe/London', 'GBP', '', '', 1, 0)"
            .to_owned(),
        "INSERT INTO tickets (id, event_id, seller_id, owner_id, section, price_minor, currency, \
         state, held_by, held_until, version, created_at) SELECT $TICKET, $EVENT, $SELLER, \
         CASE WHEN k < 12 THEN $BUYER END, 'Stalls', 2500 + i % 50, 'GBP', \
         CASE WHEN k < 12 THEN 'sold' WHEN k = 12 THEN 'withdrawn' ELSE 'listed' END, \
         CASE WHEN k = 13 THEN $ORDER END, CASE WHEN k = 13 THEN $NOW + 600000000 ELSE 0 END, \
         CASE WHEN k = 12 THEN 4 WHEN k = 13 THEN 2 WHEN k < 18 THEN 3 ELSE 1 END, 0 \
         FROM numbers ORDER BY i"
            .to_owned(),
    ]
}

fn orders() -> Vec<String> {
    vec![
        "INSERT INTO orders (id, buyer_id, event_id, status, total_minor, currency, expires_at, \
         hold_until, version, created_at) SELECT $ORDER, $BUYER, $EVENT, CASE WHEN MIN(k) < 12 \
         THEN 'complete' WHEN MIN(k) = 12 THEN 'refunded' WHEN MIN(k) = 13 THEN 'created' \
         ELSE 'expired' END, CAST(SUM(2500 + i % 50) AS BIGINT), 'GBP', $NOW + 600000000, \
         $NOW + 600000000, CASE WHEN MIN(k) = 12 THEN 4 WHEN MIN(k) = 13 THEN 1 ELSE 3 END, 0 \
         FROM numbers WHERE k < 18 GROUP BY o ORDER BY o"
            .to_owned(),
        "INSERT INTO order_lines (order_id, ticket_id, price_minor, ticket_version, live) \
         SELECT $ORDER, $TICKET, 2500 + i % 50, 2, CASE WHEN k < 12 OR k = 13 THEN 1 ELSE 0 END \
         FROM numbers WHERE k < 18 ORDER BY i"
            .to_owned(),
    ]
}

fn money() -> Vec<String> {
    let effect = |kind: &str, which: &str| {
        format!(
            "INSERT INTO payment_effects (id, payment_id, kind, idem_key, params, state, next_at, \
             created_at) SELECT '{kind}:' || $PAYMENT, $PAYMENT, '{kind}', '{kind}:' || $PAYMENT, \
             '{{\"amount_minor\":5000,\"currency\":\"GBP\",\"token\":\"pm_card_visa\"}}', 'done', \
             0, 0 FROM numbers WHERE {which} GROUP BY o ORDER BY o"
        )
    };
    let entry = |kind: &str, line: u8, which: &str| {
        let refund = if kind == "refund" { "$REFUND" } else { "NULL" };
        let sign = if (kind == "refund") == (line == 0) {
            "-"
        } else {
            ""
        };
        let (account, seller) = match line {
            0 => ("provider", "NULL"),
            _ => ("seller", "$SELLER"),
        };
        format!(
            "INSERT INTO ledger (entry_id, line, kind, payment_id, refund_id, account, seller_id, \
             amount_minor, currency, created_at) SELECT '{kind}:' || $PAYMENT, {line}, '{kind}', \
             $PAYMENT, {refund}, '{account}', {seller}, \
             {sign}CAST(SUM(2500 + i % 50) AS BIGINT), 'GBP', 0 \
             FROM numbers WHERE {which} GROUP BY o ORDER BY o"
        )
    };
    vec![
        "INSERT INTO payments (id, order_id, attempt, stripe_id, state, amount_minor, currency, \
         received_minor, refunded_minor, created_at) SELECT $PAYMENT, $ORDER, 1, \
         'pi_' || $PAYMENT, CASE WHEN MIN(k) < 12 THEN 'captured' WHEN MIN(k) = 12 THEN 'refunded' \
         ELSE 'voided' END, CAST(SUM(2500 + i % 50) AS BIGINT), 'GBP', \
         CAST(SUM(CASE WHEN k <= 12 THEN 2500 + i % 50 ELSE 0 END) AS BIGINT), \
         CAST(SUM(CASE WHEN k = 12 THEN 2500 + i % 50 ELSE 0 END) AS BIGINT), 0 \
         FROM numbers WHERE k < 18 AND k <> 13 GROUP BY o ORDER BY o"
            .to_owned(),
        effect("create", "k < 18 AND k <> 13"),
        effect("capture", "k <= 12"),
        effect("void", "k > 13 AND k < 18"),
        effect("refund", "k = 12"),
        "INSERT INTO refunds (id, payment_id, order_id, amount_minor, currency, reason, stripe_id, \
         state, created_at, settled_at) SELECT $REFUND, $PAYMENT, $ORDER, 2500 + i % 50, 'GBP', \
         'seller', 're_' || $PAYMENT, 'succeeded', 0, 0 FROM numbers WHERE k = 12"
            .to_owned(),
        "INSERT INTO refund_lines (refund_id, order_id, ticket_id, amount_minor, ticket_version, \
         live) SELECT $REFUND, $ORDER, $TICKET, 2500 + i % 50, 4, 1 FROM numbers WHERE k = 12"
            .to_owned(),
        entry("capture", 0, "k <= 12"),
        entry("capture", 1, "k <= 12"),
        entry("refund", 0, "k = 12"),
        entry("refund", 1, "k = 12"),
    ]
}

/// A row for each version of each thing, about as long as the real ones.
fn outbox() -> Vec<String> {
    const INTO: &str = "INSERT INTO outbox (id, type, aggregate_type, aggregate_id, version, \
         occurred_at, data) SELECT";
    let ticket = |version: u8, which: &str| {
        format!(
            "{INTO} 'T{version}-' || CAST(100000000000 + i AS TEXT), 'TicketUpdated', 'ticket', \
             $TICKET, {version}, 0, '{{\"id\":\"' || $TICKET || '\",\"eventId\":\"' || $EVENT || \
             '\",\"sellerId\":\"' || $SELLER || '\",\"section\":\"Stalls\",\"row\":null,\
             \"seat\":null,\"label\":\"Stalls\",\"priceMinor\":2500,\"faceValueMinor\":null,\
             \"currency\":\"GBP\",\"status\":\"available\",\"version\":{version}}}' \
             FROM numbers WHERE {which} ORDER BY i"
        )
    };
    let order = |version: u8, status: &str, which: &str| {
        format!(
            "{INTO} 'O{version}-' || CAST(100000000000 + o AS TEXT), 'OrderUpdated', 'order', \
             $ORDER, {version}, 0, '{{\"id\":\"' || $ORDER || '\",\"buyerId\":\"' || $BUYER || \
             '\",\"eventId\":\"' || $EVENT || '\",\"status\":\"{status}\",\"expiresAt\":\
             \"2026-11-23T21:30:00.123456Z\",\"totalMinor\":5000,\"currency\":\"GBP\",\
             \"ticketIds\":[\"' || MIN($TICKET) || '\",\"' || MAX($TICKET) || '\"],\
             \"paymentId\":null,\"version\":{version},\"at\":\"2026-11-23T21:15:00.123456Z\"}}' \
             FROM numbers WHERE {which} GROUP BY o ORDER BY o"
        )
    };
    let one = |kind: &str, id: &str| {
        format!("{INTO} 'X-' || {id}, 'Created', '{kind}', {id}, 1, 0, '{{}}'")
    };
    vec![
        one("user", "$SELLER"),
        one("user", "$BUYER"),
        one("event", "$EVENT"),
        ticket(1, "k < 20"),
        ticket(2, "k < 18"),
        ticket(3, "k < 18 AND k <> 13"),
        ticket(4, "k = 12"),
        order(1, "created", "k < 18"),
        order(2, "awaiting_payment", "k < 18 AND k <> 13"),
        order(3, "complete", "k <= 12"),
        order(3, "expired", "k > 13 AND k < 18"),
        order(4, "refunded", "k = 12"),
        format!(
            "{INTO} 'P1-' || CAST(100000000000 + o AS TEXT), 'PaymentCreated', 'payment', \
             $PAYMENT, 1, 0, '{{\"amountMinor\":5000}}' FROM numbers WHERE k <= 12 \
             GROUP BY o ORDER BY o"
        ),
    ]
}
