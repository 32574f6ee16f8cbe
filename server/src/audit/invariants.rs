//! The invariants of the database, as SQL statements that find violations.
//!
//! Each statement selects `id` and `detail` of each violation. It runs unchanged on both engines, scans each
//! table once and joins by keys. A time limit is bound as `$1`.

use super::report::{Finding, ReportBuilder};
use futures::TryStreamExt;
use model::Moment;
use platform::db::Conn;
use sqlx::query_as;
use std::time::{Duration, Instant};

/// One check of an invariant.
#[derive(Clone, Copy)]
struct Check {
    /// Number of the invariant; 0 for a warning.
    number: usize,
    /// The kind of object that `id` names.
    about: &'static str,
    /// Describes the violation.
    wrong: &'static str,
    sql: &'static str,
    /// `$1` is the time of the audit less this.
    ago: Option<Duration>,
}

const fn check(
    number: usize,
    about: &'static str,
    wrong: &'static str,
    sql: &'static str,
) -> Check {
    Check {
        number,
        about,
        wrong,
        sql,
        ago: None,
    }
}

const fn since(minutes: u64, check: Check) -> Check {
    Check {
        ago: Some(Duration::from_mins(minutes)),
        ..check
    }
}

const CHECKS: &[Check] = &[
    check(
        1,
        "ticket",
        "is live in more than one order",
        "SELECT ticket_id AS id, CAST(COUNT(*) AS TEXT) || ' lines' AS detail FROM order_lines \
         WHERE live = 1 GROUP BY ticket_id HAVING COUNT(*) > 1",
    ),
    check(
        1,
        "order",
        "has ended, and has a live line",
        "SELECT o.id AS id, o.status || ', ticket ' || l.ticket_id AS detail FROM orders o \
         JOIN order_lines l ON l.order_id = o.id \
         WHERE o.status IN ('expired', 'cancelled', 'refunded') AND l.live = 1",
    ),
    check(
        1,
        "ticket",
        "is held by an order that does not live on it",
        "SELECT t.id AS id, t.held_by AS detail FROM tickets t WHERE t.held_by IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM order_lines l \
           WHERE l.ticket_id = t.id AND l.order_id = t.held_by AND l.live = 1)",
    ),
    check(
        1,
        "ticket",
        "is not held by the unpaid order that lives on it",
        "SELECT t.id AS id, o.id AS detail FROM orders o \
         JOIN order_lines l ON l.order_id = o.id JOIN tickets t ON t.id = l.ticket_id \
         WHERE o.status IN ('created', 'awaiting_payment', 'capturing') AND l.live = 1 \
         AND (t.state <> 'listed' OR t.held_by IS NULL OR t.held_by <> o.id)",
    ),
    // Only the fence inserts a capture effect. Money captured without one is booked as unallocated and being
    // refunded.
    check(
        2,
        "payment",
        "was charged without a capture of ours",
        "SELECT p.id AS id, p.state AS detail FROM payments p \
         WHERE p.state IN ('captured', 'refunding', 'refunded') AND p.received_minor > 0 \
         AND NOT EXISTS (SELECT 1 FROM payment_effects e \
           WHERE e.payment_id = p.id AND e.kind = 'capture') \
         AND NOT EXISTS (SELECT 1 FROM ledger g WHERE g.payment_id = p.id \
           AND g.account = 'unallocated' AND g.kind = 'capture')",
    ),
    // The order is behind the fence, or was unfenced without any money received.
    check(
        2,
        "payment",
        "was captured for an order that is not behind the fence",
        "SELECT p.id AS id, 'order ' || o.id || ' is ' || o.status AS detail \
         FROM payment_effects e JOIN payments p ON p.id = e.payment_id \
         JOIN orders o ON o.id = p.order_id \
         WHERE e.kind = 'capture' AND e.state = 'done' \
         AND o.status NOT IN ('capturing', 'complete', 'refunding', 'refunded') \
         AND NOT (p.received_minor = 0 \
           AND p.state IN ('intended', 'open', 'requires_action', 'voiding', 'voided')) \
         AND NOT EXISTS (SELECT 1 FROM ledger g WHERE g.payment_id = p.id \
           AND g.account = 'unallocated' AND g.kind = 'capture')",
    ),
    check(
        2,
        "payment",
        "is being captured for an order that is not behind the fence",
        "SELECT p.id AS id, 'order ' || o.id || ' is ' || o.status AS detail FROM payments p \
         JOIN orders o ON o.id = p.order_id \
         WHERE p.state = 'capturing' AND o.status <> 'capturing'",
    ),
    check(
        3,
        "entry",
        "is not one balanced entry of one payment in one currency",
        "SELECT entry_id AS id, 'sums to ' || CAST(SUM(amount_minor) AS TEXT) AS detail \
         FROM ledger GROUP BY entry_id HAVING SUM(amount_minor) <> 0 \
         OR MIN(payment_id) <> MAX(payment_id) OR MIN(currency) <> MAX(currency)",
    ),
    check(
        3,
        "payment",
        "is not in the books as it is",
        "SELECT p.id AS id, CAST(p.received_minor - p.refunded_minor AS TEXT) || ', ' || \
         CAST(COALESCE(d.lost, 0) AS TEXT) || ' lost to disputes, and ' || \
         CAST(COALESCE(g.at_provider, 0) AS TEXT) || ' in the books' AS detail \
         FROM payments p LEFT JOIN (SELECT payment_id, SUM(amount_minor) AS at_provider \
           FROM ledger WHERE account = 'provider' GROUP BY payment_id) g ON g.payment_id = p.id \
         LEFT JOIN (SELECT payment_id, currency, SUM(amount_minor) AS lost FROM disputes \
           WHERE state = 'lost' GROUP BY payment_id, currency) d \
           ON d.payment_id = p.id AND d.currency = p.currency \
         WHERE p.received_minor - p.refunded_minor - COALESCE(d.lost, 0) \
           <> COALESCE(g.at_provider, 0)",
    ),
    check(
        3,
        "payment",
        "has paid back another amount than its refunds",
        "SELECT p.id AS id, CAST(p.refunded_minor AS TEXT) || ', and refunds of ' || \
         CAST(COALESCE(r.refunded, 0) AS TEXT) AS detail \
         FROM payments p LEFT JOIN (SELECT payment_id, SUM(amount_minor) AS refunded \
           FROM refunds WHERE state = 'succeeded' GROUP BY payment_id) r ON r.payment_id = p.id \
         WHERE p.refunded_minor <> COALESCE(r.refunded, 0)",
    ),
    check(
        3,
        "refund",
        "is of another amount than its tickets",
        "SELECT r.id AS id, CAST(r.amount_minor AS TEXT) || ', and tickets of ' || \
         CAST(COALESCE(l.amount, 0) AS TEXT) AS detail FROM refunds r \
         LEFT JOIN (SELECT refund_id, SUM(amount_minor) AS amount FROM refund_lines \
           GROUP BY refund_id) l ON l.refund_id = r.id \
         WHERE r.reason IN ('seller', 'operator') AND r.amount_minor <> COALESCE(l.amount, 0)",
    ),
    // Amounts owed by a capture never change: each seller gets the prices of their tickets.
    check(
        3,
        "payment",
        "is owed to its sellers otherwise than their tickets cost",
        "SELECT payment_id AS id, 'seller ' || seller_id || ' is off by ' || \
         CAST(SUM(amount) AS TEXT) AS detail \
         FROM (SELECT g.payment_id, g.seller_id, g.amount_minor AS amount FROM ledger g \
             WHERE g.kind = 'capture' AND g.account = 'seller' \
           UNION ALL \
           SELECT p.id, t.seller_id, l.price_minor FROM payments p \
             JOIN order_lines l ON l.order_id = p.order_id JOIN tickets t ON t.id = l.ticket_id \
             WHERE p.state IN ('captured', 'refunded') AND p.received_minor > 0) shares \
         WHERE NOT EXISTS (SELECT 1 FROM ledger u \
           WHERE u.payment_id = shares.payment_id AND u.account = 'unallocated' \
           AND u.kind = 'capture') \
         GROUP BY payment_id, seller_id HAVING SUM(amount) <> 0",
    ),
    check(
        5,
        "order",
        "has not exactly one captured payment of its total and currency",
        "SELECT o.id AS id, o.status AS detail FROM orders o \
         WHERE o.status IN ('complete', 'refunding') AND 1 <> (SELECT COUNT(*) FROM payments p \
           WHERE p.order_id = o.id AND p.state = 'captured' AND p.amount_minor = o.total_minor \
           AND p.received_minor = o.total_minor AND p.currency = o.currency)",
    ),
    check(
        5,
        "payment",
        "is captured, and its order is not paid",
        "SELECT p.id AS id, 'order ' || o.id || ' is ' || o.status AS detail FROM payments p \
         JOIN orders o ON o.id = p.order_id \
         WHERE p.state = 'captured' AND o.status NOT IN ('complete', 'refunding')",
    ),
    check(
        5,
        "ticket",
        "was paid and not paid back, and is not its buyer's",
        "SELECT t.id AS id, 'order ' || o.id AS detail FROM orders o \
         JOIN order_lines l ON l.order_id = o.id JOIN tickets t ON t.id = l.ticket_id \
         WHERE o.status IN ('complete', 'refunding') AND (l.live <> 1 OR t.state <> 'sold' \
           OR t.owner_id IS NULL OR t.owner_id <> o.buyer_id) \
         AND NOT EXISTS (SELECT 1 FROM refund_lines b JOIN refunds r ON r.id = b.refund_id \
           WHERE b.order_id = o.id AND b.ticket_id = t.id AND b.live = 1 \
           AND r.state = 'succeeded') \
         AND NOT EXISTS (SELECT 1 FROM incidents i WHERE i.order_id = o.id \
           AND i.kind = 'ticket_moved_on')",
    ),
    check(
        5,
        "ticket",
        "is frozen otherwise than its payment is disputed",
        "SELECT t.id AS id, 'frozen ' || CAST(t.frozen AS TEXT) || ', order ' || o.id AS detail \
         FROM orders o JOIN order_lines l ON l.order_id = o.id AND l.live = 1 \
         JOIN tickets t ON t.id = l.ticket_id WHERE o.status IN ('complete', 'refunding') \
         AND (t.frozen = 1) <> EXISTS (SELECT 1 FROM disputes d WHERE d.order_id = o.id \
           AND d.state IN ('open', 'lost'))",
    ),
    check(
        5,
        "ticket",
        "is frozen, and not sold",
        "SELECT id, state AS detail FROM tickets WHERE frozen = 1 AND state <> 'sold'",
    ),
    check(
        5,
        "ticket",
        "is sold, and no paid order lives on it",
        "SELECT t.id AS id, 'owner ' || COALESCE(t.owner_id, 'nobody') AS detail FROM tickets t \
         WHERE t.state = 'sold' AND NOT EXISTS (SELECT 1 FROM order_lines l \
           JOIN orders o ON o.id = l.order_id WHERE l.ticket_id = t.id AND l.live = 1 \
           AND o.status IN ('complete', 'refunding'))",
    ),
    check(
        5,
        "order",
        "is refunded, and a ticket of it is not paid back",
        "SELECT o.id AS id, 'ticket ' || l.ticket_id AS detail FROM orders o \
         JOIN order_lines l ON l.order_id = o.id WHERE o.status = 'refunded' \
         AND NOT EXISTS (SELECT 1 FROM refund_lines b JOIN refunds r ON r.id = b.refund_id \
           WHERE b.order_id = o.id AND b.ticket_id = l.ticket_id AND b.live = 1 \
           AND r.state = 'succeeded')",
    ),
    check(
        5,
        "order",
        "is refunded, and its payment is not",
        "SELECT o.id AS id, '' AS detail FROM orders o WHERE o.status = 'refunded' \
         AND 1 <> (SELECT COUNT(*) FROM payments p WHERE p.order_id = o.id \
           AND p.state = 'refunded' AND p.amount_minor = o.total_minor \
           AND p.received_minor = o.total_minor AND p.refunded_minor = o.total_minor)",
    ),
    check(
        5,
        "order",
        "has been paid back ticket by ticket, and is not refunded",
        "SELECT o.id AS id, o.status AS detail FROM orders o \
         WHERE o.status IN ('complete', 'refunding') AND o.id IN (SELECT r.order_id \
           FROM refunds r WHERE r.state = 'succeeded') \
         AND NOT EXISTS (SELECT 1 FROM order_lines l WHERE l.order_id = o.id \
           AND NOT EXISTS (SELECT 1 FROM refund_lines b JOIN refunds r ON r.id = b.refund_id \
             WHERE b.order_id = l.order_id AND b.ticket_id = l.ticket_id AND b.live = 1 \
             AND r.state = 'succeeded'))",
    ),
    // Only in the version that the refund left: the seller may change the ticket afterwards.
    check(
        5,
        "ticket",
        "was paid back, and is not withdrawn",
        "SELECT t.id AS id, t.state || ', refund ' || r.id AS detail FROM refunds r \
         JOIN refund_lines b ON b.refund_id = r.id JOIN tickets t ON t.id = b.ticket_id \
         WHERE r.state = 'succeeded' AND b.live = 1 \
         AND (t.state <> 'withdrawn' OR t.owner_id IS NOT NULL) \
         AND (b.ticket_version IS NULL OR b.ticket_version = t.version)",
    ),
    check(
        6,
        "aggregate",
        "has versions in the outbox that do not run 1, 2, 3 …",
        "SELECT aggregate_id AS id, 'version ' || CAST(MIN(version) AS TEXT) || ' stands at ' || \
         CAST(MIN(place) AS TEXT) AS detail FROM (SELECT aggregate_id, version, \
           ROW_NUMBER() OVER (PARTITION BY aggregate_id ORDER BY version) AS place FROM outbox) v \
         WHERE version <> place GROUP BY aggregate_id",
    ),
    check(
        6,
        "user",
        "has another version than the outbox told last",
        "SELECT a.id AS id, CAST(a.version AS TEXT) AS detail FROM users a WHERE a.version <> \
         (SELECT COALESCE(MAX(v.version), 0) FROM outbox v WHERE v.aggregate_id = a.id)",
    ),
    check(
        6,
        "event",
        "has another version than the outbox told last",
        "SELECT a.id AS id, CAST(a.version AS TEXT) AS detail FROM events a WHERE a.version <> \
         (SELECT COALESCE(MAX(v.version), 0) FROM outbox v WHERE v.aggregate_id = a.id)",
    ),
    check(
        6,
        "ticket",
        "has another version than the outbox told last",
        "SELECT a.id AS id, CAST(a.version AS TEXT) AS detail FROM tickets a WHERE a.version <> \
         (SELECT COALESCE(MAX(v.version), 0) FROM outbox v WHERE v.aggregate_id = a.id)",
    ),
    check(
        6,
        "order",
        "has another version than the outbox told last",
        "SELECT a.id AS id, CAST(a.version AS TEXT) AS detail FROM orders a WHERE a.version <> \
         (SELECT COALESCE(MAX(v.version), 0) FROM outbox v WHERE v.aggregate_id = a.id)",
    ),
    check(
        7,
        "order",
        "has ended, and its payment goes on",
        "SELECT o.id AS id, o.status || ', payment ' || p.id || ' is ' || p.state AS detail \
         FROM payments p JOIN orders o ON o.id = p.order_id \
         WHERE p.state IN ('intended', 'open', 'requires_action', 'capturing') \
         AND o.status IN ('expired', 'cancelled')",
    ),
    since(
        2,
        check(
            8,
            "order",
            "should have expired minutes ago",
            "SELECT id, status AS detail FROM orders \
             WHERE status IN ('created', 'awaiting_payment') AND hold_until < $1",
        ),
    ),
    since(
        10,
        check(
            8,
            "order",
            "has been charged for more than ten minutes",
            "SELECT o.id AS id, o.status AS detail FROM orders o WHERE o.status = 'capturing' \
             AND NOT EXISTS (SELECT 1 FROM payments p JOIN payment_effects e \
               ON e.payment_id = p.id WHERE p.order_id = o.id AND e.kind = 'capture' \
               AND e.created_at >= $1)",
        ),
    ),
    check(
        9,
        "ticket",
        "is not as its live order reserved it",
        "SELECT t.id AS id, 'order ' || o.id || ': ' || \
         CAST(l.price_minor AS TEXT) || ' ' || o.currency || ' at version ' || \
         CAST(l.ticket_version AS TEXT) || ', and now ' || CAST(t.price_minor AS TEXT) || ' ' || \
         t.currency || ' at version ' || CAST(t.version AS TEXT) AS detail FROM orders o \
         JOIN order_lines l ON l.order_id = o.id JOIN tickets t ON t.id = l.ticket_id \
         WHERE o.status IN ('created', 'awaiting_payment', 'capturing') AND l.live = 1 \
         AND (t.price_minor <> l.price_minor OR t.currency <> o.currency \
           OR t.version <> l.ticket_version)",
    ),
    check(
        9,
        "order",
        "has another total than its lines",
        "SELECT o.id AS id, CAST(o.total_minor AS TEXT) AS detail FROM orders o \
         WHERE o.total_minor <> (SELECT COALESCE(SUM(l.price_minor), 0) FROM order_lines l \
           WHERE l.order_id = o.id)",
    ),
    check(
        10,
        "intent",
        "is the intent of more than one payment",
        "SELECT stripe_id AS id, CAST(COUNT(*) AS TEXT) || ' payments' AS detail FROM payments \
         WHERE stripe_id IS NOT NULL GROUP BY stripe_id HAVING COUNT(*) > 1",
    ),
    check(
        10,
        "payment",
        "has more than one call that makes it",
        "SELECT payment_id AS id, CAST(COUNT(*) AS TEXT) || ' calls' AS detail \
         FROM payment_effects WHERE kind = 'create' GROUP BY payment_id HAVING COUNT(*) > 1",
    ),
    check(
        10,
        "call",
        "is there more than once",
        "SELECT idem_key AS id, CAST(COUNT(*) AS TEXT) || ' rows' AS detail \
         FROM payment_effects GROUP BY idem_key HAVING COUNT(*) > 1",
    ),
    check(
        13,
        "event",
        "has holders whose unpaid tickets are counted wrongly",
        "SELECT COALESCE(u.event_id, c.event_id) AS id, COALESCE(u.kind, c.kind) || ' counted ' || \
         CAST(COALESCE(u.tickets, 0) AS TEXT) || ' in ' || CAST(COALESCE(u.orders, 0) AS TEXT) || \
         ' orders, and has ' || CAST(COALESCE(c.tickets, 0) AS TEXT) || ' in ' || \
         CAST(COALESCE(c.orders, 0) AS TEXT) AS detail \
         FROM hold_usage u FULL JOIN (SELECT event_id, 'buyer' AS kind, buyer_id AS holder, \
           CAST(SUM(counted_tickets) AS BIGINT) AS tickets, COUNT(*) AS orders FROM orders \
           WHERE counted_tickets > 0 GROUP BY event_id, buyer_id \
         UNION ALL SELECT event_id, 'network', network, CAST(SUM(counted_tickets) AS BIGINT), \
           COUNT(*) FROM orders WHERE counted_tickets > 0 AND network IS NOT NULL \
           GROUP BY event_id, network) c \
         ON c.event_id = u.event_id AND c.kind = u.kind AND c.holder = u.holder \
         WHERE COALESCE(u.tickets, 0) <> COALESCE(c.tickets, 0) \
         OR COALESCE(u.orders, 0) <> COALESCE(c.orders, 0)",
    ),
    check(
        13,
        "order",
        "is counted as unpaid otherwise than it is",
        "SELECT o.id AS id, o.status || ', counted ' || CAST(o.counted_tickets AS TEXT) AS detail \
         FROM orders o WHERE o.counted_tickets <> CASE \
         WHEN o.status IN ('created', 'awaiting_payment', 'capturing') \
         THEN (SELECT COUNT(*) FROM order_lines l WHERE l.order_id = o.id) ELSE 0 END",
    ),
    check(
        14,
        "ticket",
        "is of a batch that is not published, and was changed",
        "SELECT t.id AS id, t.state || ', version ' || CAST(t.version AS TEXT) AS detail \
         FROM listing_batches b JOIN tickets t ON t.id >= b.first_ticket \
         AND t.id <= b.last_ticket AND t.batch_id = b.id WHERE b.publication IS NULL \
         AND (t.state <> 'listed' OR t.held_by IS NOT NULL OR t.version <> 1)",
    ),
    check(
        14,
        "batch",
        "has another number of tickets than was staged, or was published before it had all",
        "SELECT b.id AS id, CAST(b.staged AS TEXT) || ' of ' || CAST(b.quantity AS TEXT) AS detail \
         FROM listing_batches b WHERE b.abandoned_at IS NULL AND (b.staged <> \
         (SELECT COUNT(*) FROM tickets t WHERE t.id >= b.first_ticket AND t.id <= b.last_ticket \
         AND t.batch_id = b.id) OR (b.publication IS NOT NULL AND b.staged <> b.quantity))",
    ),
];

/// Delays and failures that violate no invariant.
const WARNINGS: &[Check] = &[
    since(
        10,
        check(
            0,
            "call",
            "has been waiting for its answer for more than ten minutes",
            "SELECT id, kind || ' of payment ' || payment_id || COALESCE(', ' || last_error, '') \
             AS detail FROM payment_effects WHERE state = 'pending' AND created_at < $1",
        ),
    ),
    since(
        10,
        check(
            0,
            "webhook",
            "has been waiting for more than ten minutes",
            "SELECT event_id AS id, type AS detail FROM stripe_inbox \
             WHERE processed_at IS NULL AND received_at < $1",
        ),
    ),
    since(
        10,
        check(
            0,
            "mail",
            "has been waiting for more than ten minutes",
            "SELECT id, kind || COALESCE(', ' || last_error, '') AS detail FROM mails \
             WHERE state = 'pending' AND created_at < $1",
        ),
    ),
    check(
        0,
        "mail",
        "could not be sent",
        "SELECT id, kind || COALESCE(', ' || last_error, '') AS detail FROM mails \
         WHERE state = 'failed'",
    ),
];

/// Runs all checks and warnings.
pub(super) async fn run(
    conn: &mut Conn,
    now: Moment,
    report: &mut ReportBuilder,
) -> Result<(), sqlx::Error> {
    for check in CHECKS.iter().chain(WARNINGS) {
        let began = Instant::now();
        let mut select = query_as::<_, (String, String)>(check.sql);
        if let Some(ago) = check.ago {
            select = select.bind(now - ago);
        }
        let mut rows = select.fetch(&mut *conn);
        while let Some((id, detail)) = rows.try_next().await? {
            let what = match detail.as_str() {
                "" => check.wrong.to_owned(),
                detail => format!("{}: {detail}", check.wrong),
            };
            let finding = Finding {
                about: check.about,
                id,
                what,
            };
            match check.number {
                0 => report.warnings.add(finding),
                number => report.broken(number, finding),
            }
        }
        drop(rows);
        let took = began.elapsed();
        tracing::debug!(about = check.about, wrong = check.wrong, ?took, "checked");
        if check.number > 0 {
            report.took(check.number, took);
        }
    }
    Ok(())
}
