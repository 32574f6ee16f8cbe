//! What must hold of a shop once it has come to rest, whatever it went through: all that was
//! answered stands, and the bank, the orders and the tickets agree.

use super::{
    clients::{Answered, Refund},
    process,
};
use crate::support::sound;
use sqlx::{AnyPool, Row};
use std::{
    collections::HashMap,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What is not at its end yet, by table.
const UNDER_WAY: [(&str, &str); 5] = [
    (
        "calls",
        "SELECT COUNT(*) AS n FROM payment_effects WHERE state = 'pending'",
    ),
    (
        "webhooks",
        "SELECT COUNT(*) AS n FROM stripe_inbox WHERE processed_at IS NULL",
    ),
    (
        "orders",
        "SELECT COUNT(*) AS n FROM orders \
         WHERE status IN ('created', 'awaiting_payment', 'capturing', 'refunding')",
    ),
    (
        "payments",
        "SELECT COUNT(*) AS n FROM payments WHERE state IN \
         ('intended', 'open', 'requires_action', 'capturing', 'voiding', 'refunding')",
    ),
    (
        "refunds",
        "SELECT COUNT(*) AS n FROM refunds WHERE state IN ('intended', 'pending')",
    ),
];

/// Waits until every order, payment, refund, call and webhook has come to its end by itself.
pub async fn comes_to_rest_within(tables: &AnyPool, limit: Duration) {
    let began = Instant::now();
    loop {
        let mut left = Vec::new();
        for (what, sql) in UNDER_WAY {
            let count = sound::number(tables, sql).await;
            if count > 0 {
                left.push(format!("{count} {what}"));
            }
        }
        if left.is_empty() {
            return;
        }
        assert!(
            began.elapsed() < limit,
            "after {limit:?} not at rest: {}\n{}",
            left.join(", "),
            stuck(tables).await
        );
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Orders that do not end, with what is known of their payments and calls.
async fn stuck(tables: &AnyPool) -> String {
    let sql = "SELECT o.id AS id, o.status AS status, COALESCE(p.state, '') AS payment, \
         COALESCE(p.stripe_id, '') AS intent, COALESCE(e.kind, '') AS kind, \
         COALESCE(e.state, '') AS call_state, COALESCE(e.tries, 0) AS tries, \
         COALESCE(e.last_error, '') AS error FROM orders o \
         LEFT JOIN payments p ON p.order_id = o.id \
         LEFT JOIN payment_effects e ON e.payment_id = p.id \
         WHERE o.status IN ('created', 'awaiting_payment', 'capturing', 'refunding') \
         OR e.state = 'pending' OR p.state IN \
         ('intended', 'open', 'requires_action', 'capturing', 'voiding', 'refunding') LIMIT 20";
    let rows = sqlx::query(sql).fetch_all(tables).await.unwrap();
    let text = |row: &sqlx::any::AnyRow, column: &str| row.get::<String, _>(column);
    let lines = rows.iter().map(|row| {
        let tries: i64 = row.get("tries");
        let names = [
            "id",
            "status",
            "payment",
            "intent",
            "kind",
            "call_state",
            "error",
        ];
        let told: Vec<String> = names.iter().map(|name| text(row, name)).collect();
        format!("{} tries {tries}", told.join(" | "))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The tables agree with each other and with the bank at `stripe`, no card is left reserved, and
/// `audit`, which is what an operator would ask, finds nothing.
pub async fn assert_sound(stripe: &str, audit: Command, tables: &AnyPool) {
    sound::assert_tables(tables).await;
    let journal = process::journal(stripe).await;
    sound::assert_bank(tables, &journal).await;
    let waiting = ["requires_capture", "requires_action", "processing"];
    for line in &journal {
        assert!(
            !waiting.contains(&line.status.as_str()),
            "all is at rest, and Stripe is not: {line:?}"
        );
    }
    let audit = run(audit).await;
    assert!(
        audit.status.success(),
        "stagedoor audit: {}\n{}{}",
        audit.status,
        String::from_utf8_lossy(&audit.stdout),
        String::from_utf8_lossy(&audit.stderr)
    );
}

async fn run(mut command: Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

/// Where this order stands inside.
pub async fn status_of(tables: &AnyPool, order: &str) -> String {
    let row = sqlx::query("SELECT status FROM orders WHERE id = $1")
        .bind(order.to_owned())
        .fetch_one(tables)
        .await
        .unwrap();
    row.get("status")
}

/// Whatever was answered with a success is so.
pub async fn assert_answers_stand(tables: &AnyPool, answered: &Answered) {
    let rows = sqlx::query("SELECT id, status FROM orders")
        .fetch_all(tables)
        .await
        .unwrap();
    let found: HashMap<String, String> = rows
        .iter()
        .map(|row| (row.get("id"), row.get("status")))
        .collect();
    for (order, told) in &answered.orders {
        let Some(status) = found.get(order).map(String::as_str) else {
            panic!("order {order} was answered, and is gone");
        };
        let fits = match status {
            "complete" => !told.cancelled && told.refund != Refund::Succeeded,
            "refunded" => !told.cancelled && told.refund != Refund::None,
            "cancelled" => !told.captured && told.refund != Refund::Succeeded,
            _ => !told.captured && !told.cancelled && told.refund != Refund::Succeeded,
        };
        assert!(
            fits,
            "order {order} is {status}, and its buyer was told {told:?}"
        );
    }
    let twice = "SELECT COUNT(*) AS n FROM (SELECT buyer_id, request_key FROM orders \
         WHERE request_key IS NOT NULL GROUP BY buyer_id, request_key \
         HAVING COUNT(*) > 1) AS repeated";
    assert_eq!(
        sound::number(tables, twice).await,
        0,
        "one attempt, one order"
    );
}
