//! Invariants of a shop's tables, and of Stripe's journal compared with them. Only reads the database and needs
//! no running shop.

use model::{Moment, charges::from_provider};
use sqlx::{AnyPool, AssertSqlSafe, Row};
use stagedoor::audit::{CHECKS, Check};
use std::{collections::BTreeMap, sync::LazyLock};
use stripe_double::JournalLine;

/// All invariants of the audit that hold at any time, in one statement. `$1` is the present.
static VIOLATIONS: LazyLock<String> = LazyLock::new(|| {
    let any_time = CHECKS
        .iter()
        .filter(|check| check.ago.is_none_or(|ago| ago.is_zero()));
    let each: Vec<String> = any_time
        .map(
            |Check {
                 about,
                 violation,
                 sql,
                 ..
             }| {
                let violation = violation.replace('\'', "''");
                format!(
                    "SELECT '{about} ' || id || ' {violation}: ' || detail AS violation \
                 FROM ({sql}) AS found"
                )
            },
        )
        .collect();
    each.join(" UNION ALL ")
});

/// The violations of the audit's invariants.
pub async fn violations(db: &AnyPool, now: Moment) -> Vec<String> {
    let rows = sqlx::query(AssertSqlSafe(VIOLATIONS.as_str()))
        .bind(now)
        .fetch_all(db)
        .await
        .unwrap();
    rows.iter().map(|row| row.get("violation")).collect()
}

/// Asserts that no invariant of the audit is violated.
pub async fn assert_tables(db: &AnyPool, now: Moment) {
    let found = violations(db, now).await;
    assert!(found.is_empty(), "{}", found.join("\n"));
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
