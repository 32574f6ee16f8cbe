//! I12: the transitions of orders according to the outbox. The database extracts the statuses from the domain
//! events, pairs each with the previous one and returns only forbidden transitions.

use super::report::{Finding, ReportBuilder};
use futures::TryStreamExt;
use model::orders::OrderStatus::{
    self, AwaitingPayment, Cancelled, Complete, Created, Expired, Refunded,
};
use platform::db::{Conn, engine_of};
use sqlx::{AssertSqlSafe, query_as};
use sqlx_macros::FromRow;
use std::time::Instant;

const ALL: [(OrderStatus, &str); 6] = [
    (Created, "created"),
    (AwaitingPayment, "awaiting_payment"),
    (Complete, "complete"),
    (Expired, "expired"),
    (Cancelled, "cancelled"),
    (Refunded, "refunded"),
];

/// Whether a transition between two public statuses is allowed.
fn may_follow(was: OrderStatus, is: OrderStatus) -> bool {
    match was {
        // The same: the hold was extended.
        Created => matches!(is, Created | AwaitingPayment | Expired | Cancelled),
        // The same: another card or payment, or the fence of a late payment.
        AwaitingPayment => matches!(is, AwaitingPayment | Complete | Expired | Cancelled),
        // Revived by a late authorisation.
        Expired => matches!(is, AwaitingPayment | Complete),
        // The same: some of the tickets were refunded.
        Complete => matches!(is, Complete | Refunded),
        // A succeeded refund failed later.
        Refunded => is == Complete,
        Cancelled => false,
    }
}

/// All allowed transitions as SQL: `(before = 'x' AND after = 'y') OR …`.
fn allowed() -> String {
    let steps = ALL.iter().flat_map(|(was, before)| {
        ALL.iter()
            .filter(|(is, _)| may_follow(*was, *is))
            .map(move |(_, after)| format!("(before = '{before}' AND after = '{after}')"))
    });
    // The first status.
    let first = "(before = '' AND after = 'created')".to_owned();
    steps.chain([first]).collect::<Vec<_>>().join(" OR ")
}

/// A forbidden transition.
#[derive(FromRow)]
struct Step {
    aggregate_id: String,
    version: i64,
    before: String,
    after: String,
}

/// Checks all domain events of orders.
pub(super) async fn check(conn: &mut Conn, report: &mut ReportBuilder) -> Result<(), sqlx::Error> {
    let began = Instant::now();
    let sql = format!(
        "SELECT aggregate_id, version, before, after FROM (SELECT aggregate_id, version, \
           COALESCE(LAG(status) OVER (PARTITION BY aggregate_id ORDER BY version), '') AS before, \
           status AS after FROM (SELECT aggregate_id, version, \
             COALESCE({}, 'missing') AS status FROM outbox WHERE aggregate_type = 'order') statuses \
         ) steps WHERE NOT ({})",
        engine_of(conn).json_text("data", "status"),
        allowed()
    );
    let mut steps = query_as::<_, Step>(AssertSqlSafe(sql)).fetch(conn);
    while let Some(step) = steps.try_next().await? {
        let Step {
            aggregate_id,
            version,
            before,
            after,
        } = step;
        let what = if before.is_empty() {
            format!("began as {after}, at version {version}")
        } else {
            format!("went from {before} to {after}, at version {version}")
        };
        let finding = Finding {
            about: "order",
            id: aggregate_id,
            what,
        };
        report.broken(12, finding);
    }
    report.took(12, began.elapsed());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_final_status_is_left_only_for_a_late_payment_or_a_refund() {
        for (is, _) in ALL {
            assert_eq!(
                may_follow(is, Created),
                is == Created,
                "an order becomes new again"
            );
            assert!(!may_follow(Cancelled, is));
            assert_eq!(may_follow(Refunded, is), is == Complete);
            assert_eq!(may_follow(is, Refunded), is == Complete);
        }
        assert!(may_follow(Expired, AwaitingPayment));
        assert!(!may_follow(Expired, Cancelled));
        assert!(
            !may_follow(Created, Complete),
            "an unpaid order becomes complete"
        );
    }

    #[test]
    fn names_of_statuses_are_those_of_domain_events() {
        for (status, name) in ALL {
            assert_eq!(serde_json::json!(status), name);
        }
    }
}
