//! Checks of a shop after crashes and outages, once all its payments have settled: every successful
//! answer is still true, and bank, orders and tickets agree.

use super::{
    clients::{Answers, RefundAnswer},
    process,
};
use crate::support::sound;
use platform::clock::{Clock, SystemClock};
use sqlx::{AnyPool, Row};
use std::{
    collections::HashMap,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Counts the rows that are not in a final state, by table.
const UNSETTLED: [(&str, &str); 5] = [
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

/// Waits until every order, payment, refund, call and webhook is in a final state.
pub async fn wait_until_settled(db: &AnyPool, limit: Duration) {
    let began = Instant::now();
    loop {
        let mut unsettled = Vec::new();
        for (what, sql) in UNSETTLED {
            let count = sound::number(db, sql).await;
            if count > 0 {
                unsettled.push(format!("{count} {what}"));
            }
        }
        if unsettled.is_empty() {
            return;
        }
        assert!(
            began.elapsed() < limit,
            "not settled after {limit:?}: {}\n{}",
            unsettled.join(", "),
            describe_unsettled(db).await
        );
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Unsettled orders with their payments and calls.
async fn describe_unsettled(db: &AnyPool) -> String {
    let sql = "SELECT o.id AS id, o.status AS status, COALESCE(p.state, '') AS payment, \
         COALESCE(p.stripe_id, '') AS intent, COALESCE(e.kind, '') AS kind, \
         COALESCE(e.state, '') AS call_state, COALESCE(e.tries, 0) AS tries, \
         COALESCE(e.last_error, '') AS error FROM orders o \
         LEFT JOIN payments p ON p.order_id = o.id \
         LEFT JOIN payment_effects e ON e.payment_id = p.id \
         WHERE o.status IN ('created', 'awaiting_payment', 'capturing', 'refunding') \
         OR e.state = 'pending' OR p.state IN \
         ('intended', 'open', 'requires_action', 'capturing', 'voiding', 'refunding') LIMIT 20";
    let rows = sqlx::query(sql).fetch_all(db).await.unwrap();
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
        let values: Vec<String> = names.iter().map(|name| text(row, name)).collect();
        format!("{} tries {tries}", values.join(" | "))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Asserts that the tables agree with each other and with the bank at `stripe`, that no
/// authorisation is left open, and that the command `audit` finds no violation.
pub async fn assert_sound(stripe: &str, audit: Command, db: &AnyPool) {
    sound::assert_tables(db, SystemClock.now()).await;
    let journal = process::fetch_journal(stripe).await;
    sound::assert_bank(db, &journal).await;
    let unsettled = ["requires_capture", "requires_action", "processing"];
    for line in &journal {
        assert!(
            !unsettled.contains(&line.status.as_str()),
            "settled in the shop, but not at Stripe: {line:?}"
        );
    }
    let output = run(audit).await;
    assert!(
        output.status.success(),
        "stagedoor audit: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

async fn run(mut command: Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

/// The order's status in the database, which a buyer may see under another name.
pub async fn find_order_status(db: &AnyPool, order: &str) -> String {
    let row = sqlx::query("SELECT status FROM orders WHERE id = $1")
        .bind(order.to_owned())
        .fetch_one(db)
        .await
        .unwrap();
    row.get("status")
}

/// Asserts that the database agrees with every successful answer.
pub async fn assert_answers_match(db: &AnyPool, answers: &Answers) {
    let rows = sqlx::query("SELECT id, status FROM orders")
        .fetch_all(db)
        .await
        .unwrap();
    let found: HashMap<String, String> = rows
        .iter()
        .map(|row| (row.get("id"), row.get("status")))
        .collect();
    for (order, answered) in &answers.orders {
        let Some(status) = found.get(order).map(String::as_str) else {
            panic!("order {order} was answered, but is not in the database");
        };
        let matches = match status {
            "complete" => !answered.cancelled && answered.refund != RefundAnswer::Succeeded,
            "refunded" => !answered.cancelled && answered.refund != RefundAnswer::NotRequested,
            "cancelled" => !answered.captured && answered.refund != RefundAnswer::Succeeded,
            _ => {
                !answered.captured
                    && !answered.cancelled
                    && answered.refund != RefundAnswer::Succeeded
            }
        };
        assert!(
            matches,
            "order {order} is {status}, but its buyer was answered {answered:?}"
        );
    }
    let repeated_keys = "SELECT COUNT(*) AS n FROM (SELECT buyer_id, request_key FROM orders \
         WHERE request_key IS NOT NULL GROUP BY buyer_id, request_key \
         HAVING COUNT(*) > 1) AS repeated";
    assert_eq!(
        sound::number(db, repeated_keys).await,
        0,
        "an idempotency key has more than one order"
    );
}
