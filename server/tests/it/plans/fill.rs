//! Fills a database with one statement per table, with rows in proportion to the tickets. The rows are suitable
//! for query plans, but would not pass an audit.

use platform::db::Engine;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor};

/// The number of events, independent of the number of tickets.
pub const EVENTS: i64 = 5000;

/// Fills a migrated, empty database.
pub async fn fill(url: &str, tickets: i64, now_micros: i64) {
    let mut conn = AnyConnection::connect(url).await.unwrap();
    let (disable_checks, maintenance) = match Engine::of(url).unwrap() {
        Engine::Sqlite => ("PRAGMA foreign_keys = OFF", "SELECT 1"),
        Engine::Postgres => ("SET session_replication_role = 'replica'", "VACUUM ANALYZE"),
    };
    conn.execute(disable_checks).await.unwrap();
    conn.execute("CREATE TABLE numbers (i BIGINT PRIMARY KEY, k BIGINT)")
        .await
        .unwrap();
    for step in STEPS {
        let sql = expand_ids(step)
            .replace("$COUNT", &tickets.to_string())
            .replace("$EVENTS", &EVENTS.to_string())
            .replace("$NOW", &now_micros.to_string());
        let done = conn.execute(AssertSqlSafe(sql.clone())).await;
        assert!(done.is_ok(), "{sql}: {done:?}");
    }
    conn.execute("DROP TABLE numbers").await.unwrap();
    conn.execute(maintenance).await.unwrap();
    conn.close().await.unwrap();
}

/// Replaces placeholders for ids and users, such as `$TICKET(i)`.
fn expand_ids(step: &str) -> String {
    let kinds = [
        "$USER(",
        "$EVENT(",
        "$TICKET(",
        "$ORDER(",
        "$PAYMENT(",
        "$REFUND(",
    ];
    let mut sql = step.to_owned();
    for (number, kind) in (1..).zip(kinds) {
        sql = sql.replace(
            kind,
            &format!("'01930000-000{number}-7000-8000-' || CAST(100000000000 + ("),
        );
    }
    sql.replace(")$", ") AS TEXT)")
}

/// Of 20 tickets 12 are sold, two per order, 2 were in an expired order, and the rest are for sale.
const STEPS: [&str; 20] = [
    "INSERT INTO numbers (i, k) WITH RECURSIVE n(i) AS (SELECT CAST(0 AS BIGINT) UNION ALL \
     SELECT i + 1 FROM n WHERE i + 1 < $COUNT) SELECT i, i % 20 FROM n",
    "INSERT INTO users (id, email, email_key, name, password_hash, version, created_at) \
     SELECT $USER(i)$, 'u' || i || '@example.com', 'u' || i || '@example.com', 'U', '', 1, 0 \
     FROM numbers WHERE i < $COUNT / 20",
    "INSERT INTO sessions (id_hash, user_id, record, expires_at, begun_at, seen_at) \
     SELECT 's' || i, $USER(i)$, '{}', $NOW + 1000000 * (1000000 + i), $NOW, $NOW \
     FROM numbers WHERE i < $COUNT / 20",
    "INSERT INTO password_resets (id, user_id, asked_at, expires_at) SELECT 'r' || i, $USER(i)$, \
     $NOW, $NOW + 1000000 * (1000000 + i) FROM numbers WHERE i < $COUNT / 20",
    "INSERT INTO idempotency_keys (user_id, key, request_hash, status, body, created_at) \
     SELECT $USER(i)$, 'k', '', 201, '{}', $NOW FROM numbers WHERE i < $COUNT / 20",
    // Half of the events are over.
    "INSERT INTO events (id, creator_id, title, description, venue, city, country, starts_at, \
     time_zone, currency, search_text, city_key, category, version, created_at) \
     SELECT $EVENT(i)$, $USER(i % 1000)$, 'Night ' || i, '', 'Hall ' || i % 90, 'City' || i % 50, \
     'GB', $NOW + (i - $EVENTS / 2) * 3600000000, 'Europe/London', 'GBP', \
     'night ' || i || ' hall ' || i % 90 || ' city' || i % 50, 'city' || i % 50, \
     CASE i % 3 WHEN 0 THEN 'music' WHEN 1 THEN 'sport' ELSE 'other' END, 1, 0 \
     FROM numbers WHERE i < $EVENTS",
    "INSERT INTO tickets (id, event_id, seller_id, owner_id, section, price_minor, currency, \
     state, version, created_at) SELECT $TICKET(i)$, $EVENT(i / 20 % $EVENTS)$, \
     $USER(i / 20 % 1000)$, CASE WHEN k < 12 THEN $USER(i / 40 % ($COUNT / 20))$ END, \
     CASE k % 2 WHEN 0 THEN 'Stalls' ELSE 'Circle' END, 2500 + i % 50, 'GBP', \
     CASE WHEN k < 12 THEN 'sold' ELSE 'listed' END, 3, 0 FROM numbers",
    "INSERT INTO orders (id, buyer_id, event_id, status, total_minor, currency, expires_at, \
     hold_until, version, created_at) SELECT $ORDER(i)$, $USER(i / 40 % ($COUNT / 20))$, \
     $EVENT(i / 20 % $EVENTS)$, CASE WHEN k < 12 THEN 'complete' ELSE 'expired' END, 5000, 'GBP', \
     $NOW, $NOW, 3, $NOW - i * 1000000 FROM numbers WHERE k < 14 AND k % 2 = 0",
    "INSERT INTO order_lines (order_id, ticket_id, price_minor, ticket_version, live) \
     SELECT $ORDER(i - i % 2)$, $TICKET(i)$, 2500, 2, CASE WHEN k < 12 THEN 1 ELSE 0 END \
     FROM numbers WHERE k < 14",
    "INSERT INTO payments (id, order_id, attempt, stripe_id, state, amount_minor, currency, \
     received_minor, created_at) SELECT $PAYMENT(i)$, $ORDER(i)$, 1, 'pi_' || i, \
     CASE WHEN k < 12 THEN 'captured' ELSE 'voided' END, 5000, 'GBP', \
     CASE WHEN k < 12 THEN 5000 ELSE 0 END, $NOW - (i + 1000000) * 1000000 \
     FROM numbers WHERE k < 14 AND k % 2 = 0",
    "INSERT INTO payment_effects (id, payment_id, kind, idem_key, params, state, next_at, \
     created_at) SELECT 'c' || i, $PAYMENT(i - i % 2)$, CASE i % 2 WHEN 0 THEN 'create' \
     ELSE 'capture' END, 'c' || i, '{}', 'done', 0, 0 FROM numbers WHERE k < 14",
    "INSERT INTO stripe_inbox (event_id, type, stripe_id, payload, received_at, processed_at) \
     SELECT 'evt_' || i, 'payment_intent.succeeded', 'pi_' || i, '{}', $NOW, $NOW \
     FROM numbers WHERE k < 14 AND k % 2 = 0",
    "INSERT INTO ledger (entry_id, line, kind, payment_id, account, seller_id, amount_minor, \
     currency, created_at) SELECT 'capture:' || (i - i % 2), i % 2, 'capture', \
     $PAYMENT(i - i % 2)$, CASE i % 2 WHEN 0 THEN 'provider' ELSE 'seller' END, \
     CASE i % 2 WHEN 1 THEN $USER(i / 20 % 1000)$ END, \
     CASE i % 2 WHEN 0 THEN 5000 ELSE -5000 END, 'GBP', $NOW - i * 1000000 \
     FROM numbers WHERE k < 12",
    "INSERT INTO refunds (id, payment_id, order_id, amount_minor, currency, reason, state, \
     created_at, settled_at) SELECT $REFUND(i)$, $PAYMENT(i)$, $ORDER(i)$, 2500, 'GBP', 'seller', \
     'succeeded', 0, 0 FROM numbers WHERE k = 10",
    "INSERT INTO refund_lines (refund_id, order_id, ticket_id, amount_minor, ticket_version, \
     live) SELECT $REFUND(i)$, $ORDER(i)$, $TICKET(i)$, 2500, 4, 1 FROM numbers WHERE k = 10",
    "INSERT INTO incidents (id, kind, subject, detail, found_at, settled_at) \
     SELECT 'i' || i, 'stray', 'pi_' || i, '', 0, 1 FROM numbers WHERE i < $COUNT / 20",
    "INSERT INTO mails (id, kind, subject, state, next_at, created_at) SELECT 'm' || i, \
     'order_complete', $ORDER(i)$, 'sent', 0, 0 FROM numbers WHERE k < 12 AND k % 2 = 0",
    "INSERT INTO outbox (id, type, aggregate_type, aggregate_id, version, occurred_at, data, \
     published_at) SELECT 't' || i, 'TicketCreated', 'ticket', $TICKET(i)$, 1, 0, \
     '{\"eventId\":\"' || $EVENT(i / 20 % $EVENTS)$ || '\"}', 1 FROM numbers",
    "INSERT INTO outbox (id, type, aggregate_type, aggregate_id, version, occurred_at, data, \
     published_at) SELECT 'o' || i, 'OrderCreated', 'order', $ORDER(i)$, 1, 0, '{}', 1 \
     FROM numbers WHERE k < 14 AND k % 2 = 0",
    "INSERT INTO outbox (id, type, aggregate_type, aggregate_id, version, occurred_at, data, \
     published_at) SELECT 'e' || i, 'EventCreated', 'event', $EVENT(i)$, 1, 0, '{}', 1 \
     FROM numbers WHERE i < $EVENTS",
];
