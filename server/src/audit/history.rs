//! I12, as the outbox tells it: which way every order went. The database reads the statuses out of
//! what was told and puts each beside the one before; only what may not be comes out of it.

use super::report::{Book, Finding};
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

/// Whether an order may go from one status to the other, as the outside sees them.
fn may_follow(was: OrderStatus, is: OrderStatus) -> bool {
    match was {
        // Again: the buyer took more time.
        Created => matches!(is, Created | AwaitingPayment | Expired | Cancelled),
        // Again: another card, another payment, or the fence of a payment that came late.
        AwaitingPayment => matches!(is, AwaitingPayment | Complete | Expired | Cancelled),
        // A late card that found its tickets free.
        Expired => matches!(is, AwaitingPayment | Complete),
        // Again: some of the tickets were paid back.
        Complete => matches!(is, Complete | Refunded),
        // The refund failed after all.
        Refunded => is == Complete,
        Cancelled => false,
    }
}

/// The steps that an order may take, as SQL has them: `(before = 'x' AND after = 'y') OR …`.
fn allowed() -> String {
    let steps = ALL.iter().flat_map(|(was, before)| {
        ALL.iter()
            .filter(|(is, _)| may_follow(*was, *is))
            .map(move |(_, after)| format!("(before = '{before}' AND after = '{after}')"))
    });
    // What comes first is new.
    let first = "(before = '' AND after = 'created')".to_owned();
    steps.chain([first]).collect::<Vec<_>>().join(" OR ")
}

/// A step of an order that may not be.
#[derive(FromRow)]
struct Step {
    aggregate_id: String,
    version: i64,
    before: String,
    after: String,
}

/// Goes through all that was told of orders.
pub(super) async fn check(conn: &mut Conn, book: &mut Book) -> Result<(), sqlx::Error> {
    let began = Instant::now();
    let sql = format!(
        "SELECT aggregate_id, version, before, after FROM (SELECT aggregate_id, version, \
           COALESCE(LAG(status) OVER (PARTITION BY aggregate_id ORDER BY version), '') AS before, \
           status AS after FROM (SELECT aggregate_id, version, \
             COALESCE({}, 'nothing') AS status FROM outbox WHERE aggregate_type = 'order') told \
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
        book.broken(12, finding);
    }
    book.took(12, began.elapsed());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_left_only_by_a_late_card_and_by_refunds() {
        for (is, _) in ALL {
            assert_eq!(
                may_follow(is, Created),
                is == Created,
                "nothing becomes new again"
            );
            assert!(!may_follow(Cancelled, is));
            assert_eq!(may_follow(Refunded, is), is == Complete);
            assert_eq!(may_follow(is, Refunded), is == Complete);
        }
        assert!(may_follow(Expired, AwaitingPayment));
        assert!(!may_follow(Expired, Cancelled));
        assert!(!may_follow(Created, Complete), "nothing is complete unpaid");
    }

    #[test]
    fn a_status_is_named_as_it_is_told() {
        for (status, name) in ALL {
            assert_eq!(serde_json::json!(status), name);
        }
    }
}
