//! Invariants of a shop's tables, and of Stripe's journal compared with them. Only reads the database and needs
//! no running shop.

use model::charges::from_provider;
use sqlx::{AnyPool, AssertSqlSafe, Row};
use std::collections::BTreeMap;
use stripe_double::JournalLine;

/// The violations of invariants that must not exist, each with the query that counts them.
pub const VIOLATIONS: [(&str, &str); 10] = [
    (
        "a ticket of an unpublished batch is held or sold",
        "SELECT COUNT(*) AS n FROM tickets t JOIN listing_batches b ON b.id = t.batch_id \
         WHERE b.publication IS NULL AND (t.state <> 'listed' OR t.held_by IS NOT NULL)",
    ),
    (
        "a ticket is live in two orders",
        "SELECT COUNT(*) AS n FROM (SELECT ticket_id FROM order_lines WHERE live = 1 \
         GROUP BY ticket_id HAVING COUNT(*) > 1) AS twice",
    ),
    (
        "a complete order does not own its tickets",
        "SELECT COUNT(*) AS n FROM orders o JOIN order_lines l ON l.order_id = o.id AND l.live = 1 \
         JOIN tickets t ON t.id = l.ticket_id WHERE o.status = 'complete' \
         AND (t.state <> 'sold' OR t.owner_id IS NULL OR t.owner_id <> o.buyer_id)",
    ),
    (
        "a ticket is sold without a complete order",
        "SELECT COUNT(*) AS n FROM tickets t WHERE t.state = 'sold' AND NOT EXISTS \
         (SELECT 1 FROM order_lines l JOIN orders o ON o.id = l.order_id \
         WHERE l.ticket_id = t.id AND l.live = 1 AND o.status IN ('complete', 'refunding'))",
    ),
    (
        "a complete order does not have exactly one captured payment of its total",
        "SELECT COUNT(*) AS n FROM orders o WHERE o.status = 'complete' AND 1 <> \
         (SELECT COUNT(*) FROM payments p WHERE p.order_id = o.id \
         AND p.state = 'captured' AND p.amount_minor = o.total_minor)",
    ),
    (
        "a payment was captured for an order that is not complete",
        "SELECT COUNT(*) AS n FROM orders o JOIN payments p ON p.order_id = o.id \
         WHERE p.state = 'captured' AND o.status NOT IN ('complete', 'refunding')",
    ),
    (
        "a refunded order has live tickets, or its payment is not fully refunded",
        "SELECT COUNT(*) AS n FROM orders o WHERE o.status = 'refunded' AND \
         (EXISTS (SELECT 1 FROM order_lines l WHERE l.order_id = o.id AND l.live = 1) \
         OR EXISTS (SELECT 1 FROM payments p WHERE p.order_id = o.id \
         AND p.received_minor <> p.refunded_minor))",
    ),
    (
        "a ledger entry does not sum to zero",
        "SELECT COUNT(*) AS n FROM (SELECT entry_id FROM ledger GROUP BY entry_id \
         HAVING SUM(amount_minor) <> 0) AS broken",
    ),
    (
        "the ledger of a payment differs from the payment",
        "SELECT COUNT(*) AS n FROM payments p WHERE p.received_minor - p.refunded_minor - \
         (SELECT COALESCE(SUM(d.amount_minor), 0) FROM disputes d \
         WHERE d.payment_id = p.id AND d.state = 'lost') <> \
         (SELECT COALESCE(SUM(g.amount_minor), 0) FROM ledger g \
         WHERE g.payment_id = p.id AND g.account = 'provider')",
    ),
    (
        "the count of unpaid tickets differs from the held tickets",
        "SELECT COUNT(*) AS n FROM hold_usage u WHERE u.kind = 'buyer' AND u.tickets <> \
         (SELECT COUNT(*) FROM orders o JOIN order_lines l ON l.order_id = o.id \
         WHERE o.event_id = u.event_id AND o.buyer_id = u.holder \
         AND o.status IN ('created', 'awaiting_payment', 'capturing'))",
    ),
];

/// Asserts that the tables are consistent and versions have no gaps.
pub async fn assert_tables(db: &AnyPool) {
    for (broken, sql) in VIOLATIONS {
        assert_eq!(number(db, sql).await, 0, "{broken}");
    }
    let wrong_totals = "SELECT COUNT(*) AS n FROM orders o WHERE o.total_minor <> \
         (SELECT COALESCE(SUM(l.price_minor), 0) FROM order_lines l WHERE l.order_id = o.id)";
    assert_eq!(
        number(db, wrong_totals).await,
        0,
        "the total of an order differs from its tickets"
    );
    assert_versions_without_gaps(db).await;
}

/// Asserts that the versions of each aggregate in the outbox are 1, 2, 3 … up to its row's version.
pub async fn assert_versions_without_gaps(db: &AnyPool) {
    let gaps = "SELECT COUNT(*) AS n FROM (SELECT aggregate_id FROM outbox \
         GROUP BY aggregate_type, aggregate_id \
         HAVING MIN(version) <> 1 OR MAX(version) <> COUNT(*) \
         OR COUNT(DISTINCT version) <> COUNT(*)) AS broken";
    assert_eq!(
        number(db, gaps).await,
        0,
        "an aggregate's versions have gaps"
    );
    for table in ["users", "events", "tickets", "orders"] {
        let missing_events = format!(
            "SELECT COUNT(*) AS n FROM {table} AS t WHERE t.version <> \
             (SELECT COALESCE(MAX(o.version), 0) FROM outbox o WHERE o.aggregate_id = t.id)"
        );
        assert_eq!(
            number(db, &missing_events).await,
            0,
            "{table}: a change has no domain event"
        );
    }
}

/// The expected amount of each order at Stripe, in the shop's minor units: the prices of its sold tickets, less the
/// unallocated amount in the ledger. Lost disputes are unallocated too, but are not refunds at Stripe.
pub const OWED: &str = "SELECT o.id AS id, CAST( \
     COALESCE((SELECT SUM(l.price_minor) FROM order_lines l WHERE l.order_id = o.id AND l.live = 1 \
       AND o.status IN ('complete', 'refunding')), 0) \
     - COALESCE((SELECT SUM(g.amount_minor) FROM ledger g JOIN payments p ON p.id = g.payment_id \
       WHERE p.order_id = o.id AND g.account = 'unallocated'), 0) \
     + COALESCE((SELECT SUM(d.amount_minor) FROM disputes d \
       WHERE d.order_id = o.id AND d.state = 'lost'), 0) AS BIGINT) AS n FROM orders o";

/// Asserts that Stripe has the expected amount of each order and no other money, and that the ledger has the same
/// total.
pub async fn assert_bank(db: &AnyPool, journal: &[JournalLine]) {
    let owed = format!("SELECT id, n FROM ({OWED}) AS owed WHERE n <> 0");
    let rows = sqlx::query(AssertSqlSafe(owed))
        .fetch_all(db)
        .await
        .unwrap();
    let owed: BTreeMap<String, i64> = rows
        .iter()
        .map(|row| (row.get("id"), row.get("n")))
        .collect();
    let mut charged: BTreeMap<String, i64> = BTreeMap::new();
    for line in journal {
        let order = line.metadata.get("order_id").cloned().unwrap_or_default();
        *charged.entry(order).or_default() += left_minor(line);
    }
    charged.retain(|_, amount| *amount != 0);
    for (order, amount) in &charged {
        let owed = owed.get(order).copied().unwrap_or(0);
        assert_eq!(*amount, owed, "order {order}: the amount at Stripe differs");
    }
    for (order, amount) in &owed {
        assert!(
            charged.contains_key(order),
            "the amount {amount} of order {order} was not charged"
        );
    }
    let booked = "SELECT CAST(COALESCE(SUM(amount_minor), 0) + COALESCE((SELECT SUM(d.amount_minor) \
         FROM disputes d WHERE d.state = 'lost'), 0) AS BIGINT) AS n FROM ledger \
         WHERE account = 'provider'";
    assert_eq!(
        charged.values().sum::<i64>(),
        number(db, booked).await,
        "the amounts at Stripe and in the ledger differ"
    );
}

/// The captured and not refunded amount of a payment at Stripe, in the shop's minor units.
pub fn left_minor(line: &JournalLine) -> i64 {
    from_provider(&line.currency, line.amount_received - line.amount_refunded)
}

/// The column `n` of the statement's only row.
pub async fn number(db: &AnyPool, sql: &str) -> i64 {
    let row = sqlx::query(AssertSqlSafe(sql.to_owned()))
        .fetch_one(db)
        .await
        .unwrap();
    row.get("n")
}
