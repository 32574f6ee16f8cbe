//! Numbers of rows: of the database, and of those that each invariant covers.

use super::report::{Counts, ReportBuilder};
use model::Moment;
use platform::db::Conn;
use sqlx::{query_as, query_scalar};

/// Tables and parts of tables whose rows are counted.
const ROWS: [(&str, &str); 9] = [
    ("users", "SELECT COUNT(*) AS n FROM users"),
    ("events", "SELECT COUNT(*) AS n FROM events"),
    ("orderLines", "SELECT COUNT(*) AS n FROM order_lines"),
    (
        "liveLines",
        "SELECT COUNT(*) AS n FROM order_lines WHERE live = 1",
    ),
    ("effects", "SELECT COUNT(*) AS n FROM payment_effects"),
    ("refunds", "SELECT COUNT(*) AS n FROM refunds"),
    ("ledger", "SELECT COUNT(*) AS n FROM ledger"),
    ("outbox", "SELECT COUNT(*) AS n FROM outbox"),
    (
        "orderVersions",
        "SELECT CAST(COALESCE(SUM(version), 0) AS BIGINT) AS n FROM orders",
    ),
];

pub(super) async fn read(conn: &mut Conn, now: Moment) -> Result<Counts, sqlx::Error> {
    let mut counts = Counts::default();
    let tickets = query_as::<_, (String, i64, i64)>(
        "SELECT state, COUNT(*) AS n, \
         CAST(SUM(CASE WHEN held_until > $1 THEN 1 ELSE 0 END) AS BIGINT) AS held \
         FROM tickets GROUP BY state",
    )
    .bind(now)
    .fetch_all(&mut *conn)
    .await?;
    for state in ["listed", "held", "sold", "withdrawn"] {
        counts.tickets.insert(state.to_owned(), 0);
    }
    for (state, count, held_of_it) in tickets {
        counts.tickets.insert(state, count);
        if let Some(held) = counts.tickets.get_mut("held") {
            *held += held_of_it;
        }
    }
    let orders = query_as("SELECT status, COUNT(*) AS n FROM orders GROUP BY status");
    counts.orders = orders.fetch_all(&mut *conn).await?.into_iter().collect();
    let payments = query_as("SELECT state, COUNT(*) AS n FROM payments GROUP BY state");
    counts.payments = payments.fetch_all(&mut *conn).await?.into_iter().collect();
    for (name, sql) in ROWS {
        let rows = query_scalar(sql).fetch_one(&mut *conn).await?;
        counts.rows.insert(name, rows);
    }
    Ok(counts)
}

/// Records how many rows the checks of each invariant cover, except those of `provider.rs`.
pub(super) fn record_coverage(counts: &Counts, report: &mut ReportBuilder) {
    let tickets = ["listed", "sold", "withdrawn"]
        .iter()
        .filter_map(|state| counts.tickets.get(*state))
        .sum::<i64>();
    let orders: i64 = counts.orders.values().sum();
    let payments: i64 = counts.payments.values().sum();
    for (number, rows) in [
        (1, counts.rows("liveLines") + tickets),
        (2, payments + counts.rows("effects")),
        (3, payments + counts.rows("ledger") + counts.rows("refunds")),
        (5, orders + counts.rows("orderLines") + tickets),
        (6, counts.rows("outbox")),
        (7, payments),
        (8, orders),
        (9, orders + counts.rows("liveLines")),
        (10, payments + counts.rows("effects")),
        (12, counts.rows("orderVersions")),
        (13, orders),
        (14, tickets),
    ] {
        report.looked_at(number, rows);
    }
}
