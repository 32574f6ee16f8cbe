//! The invariants, each with the statements that find its violations in the database. The audit and the tests run
//! the same statements.
//!
//! A statement selects `id` and `detail` of each violation. It runs unchanged on both engines, scans each table
//! once and joins by keys. A time limit is bound as `$1`.

use std::time::Duration;

/// The invariants by number; I1 is the first.
pub(super) const SENTENCES: [&str; 14] = [
    "A ticket is live in at most one order, and only that order holds it.",
    "Money is captured only for an order behind the fence, by a capture of this shop.",
    "The ledger balances, and agrees with all payments, refunds and lost disputes.",
    "The provider has received and refunded exactly what the payments say.",
    "An order is paid once and in full if and only if its tickets belong to its buyer.",
    "The versions of each aggregate are 1, 2, 3 … in the outbox, up to the version of its row.",
    "An order that ended unpaid keeps no authorisation.",
    "No order stays in an intermediate state for longer than allowed.",
    "A held ticket has the price, currency and version of its order line.",
    "A payment is one object at the provider, created by one call.",
    "A crash at any point leaves nothing half done.",
    "An order leaves a final state only for a late payment or a refund.",
    "The counts for the limits of unpaid holds equal the tickets that are held unpaid.",
    "A batch of listings is for sale completely or not at all.",
];

/// A statement that finds violations of an invariant.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Number of the invariant.
    pub number: usize,
    /// The kind of object that `id` names.
    pub about: &'static str,
    /// Describes the violation; the object is the subject of the sentence.
    pub violation: &'static str,
    pub sql: &'static str,
    /// `$1` is the time of the audit less this.
    pub ago: Option<Duration>,
}

const fn check(
    number: usize,
    about: &'static str,
    violation: &'static str,
    sql: &'static str,
) -> Check {
    Check {
        number,
        about,
        violation,
        sql,
        ago: None,
    }
}

/// Binds the present as `$1`.
const fn at_present(check: Check) -> Check {
    since(0, check)
}

const fn since(minutes: u64, check: Check) -> Check {
    Check {
        ago: Some(Duration::from_mins(minutes)),
        ..check
    }
}

/// Compares the version of an object's row with that of its last domain event.
macro_rules! last_version {
    ($about:literal, $table:literal) => {
        check(
            6,
            $about,
            "has another version than its last domain event",
            concat!(
                "SELECT a.id AS id, CAST(a.version AS TEXT) AS detail FROM ",
                $table,
                " a WHERE a.version <> \
                 (SELECT COALESCE(MAX(v.version), 0) FROM outbox v WHERE v.aggregate_id = a.id)"
            ),
        )
    };
}

/// All checks of one statement each. I4, I11 and I12 are checked elsewhere: by the provider's list, the crash
/// tests and the history of orders.
pub const CHECKS: &[Check] = &[
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
        "has ended but has a live line",
        "SELECT o.id AS id, o.status || ', ticket ' || l.ticket_id AS detail FROM orders o \
         JOIN order_lines l ON l.order_id = o.id \
         WHERE o.status IN ('expired', 'cancelled', 'refunded') AND l.live = 1",
    ),
    check(
        1,
        "ticket",
        "is held by an order that has no live line of it",
        "SELECT t.id AS id, t.held_by AS detail FROM tickets t WHERE t.held_by IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM order_lines l \
           WHERE l.ticket_id = t.id AND l.order_id = t.held_by AND l.live = 1)",
    ),
    // After its hold an order may keep its lines until it expires, but no ticket.
    at_present(check(
        1,
        "ticket",
        "is not held by the unpaid order that has a live line of it",
        "SELECT t.id AS id, o.id AS detail FROM orders o \
         JOIN order_lines l ON l.order_id = o.id JOIN tickets t ON t.id = l.ticket_id \
         WHERE o.status IN ('created', 'awaiting_payment', 'capturing') AND l.live = 1 \
         AND (o.status = 'capturing' OR o.hold_until > $1) \
         AND (t.state <> 'listed' OR t.held_by IS NULL OR t.held_by <> o.id)",
    )),
    // Only the fence inserts a capture effect. Money captured without one is booked as unallocated and being
    // refunded.
    check(
        2,
        "payment",
        "has received money without a capture by this shop",
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
        "does not balance, or mixes payments or currencies",
        "SELECT entry_id AS id, 'sums to ' || CAST(SUM(amount_minor) AS TEXT) AS detail \
         FROM ledger GROUP BY entry_id HAVING SUM(amount_minor) <> 0 \
         OR MIN(payment_id) <> MAX(payment_id) OR MIN(currency) <> MAX(currency)",
    ),
    check(
        3,
        "payment",
        "differs from its balance in the ledger",
        "SELECT p.id AS id, CAST(p.received_minor - p.refunded_minor AS TEXT) || ' kept, ' || \
         CAST(COALESCE(d.lost, 0) AS TEXT) || ' lost to disputes, and ' || \
         CAST(COALESCE(g.at_provider, 0) AS TEXT) || ' in the ledger' AS detail \
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
        "has a refunded amount that differs from its refunds",
        "SELECT p.id AS id, CAST(p.refunded_minor AS TEXT) || ', and refunds of ' || \
         CAST(COALESCE(r.refunded, 0) AS TEXT) AS detail \
         FROM payments p LEFT JOIN (SELECT payment_id, SUM(amount_minor) AS refunded \
           FROM refunds WHERE state = 'succeeded' GROUP BY payment_id) r ON r.payment_id = p.id \
         WHERE p.refunded_minor <> COALESCE(r.refunded, 0)",
    ),
    check(
        3,
        "refund",
        "has an amount that differs from its tickets",
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
        "credits a seller with another amount than their tickets cost",
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
        "does not have exactly one captured payment of its total and currency",
        "SELECT o.id AS id, o.status AS detail FROM orders o \
         WHERE o.status IN ('complete', 'refunding') AND 1 <> (SELECT COUNT(*) FROM payments p \
           WHERE p.order_id = o.id AND p.state = 'captured' AND p.amount_minor = o.total_minor \
           AND p.received_minor = o.total_minor AND p.currency = o.currency)",
    ),
    check(
        5,
        "payment",
        "is captured but its order is not paid",
        "SELECT p.id AS id, 'order ' || o.id || ' is ' || o.status AS detail FROM payments p \
         JOIN orders o ON o.id = p.order_id \
         WHERE p.state = 'captured' AND o.status NOT IN ('complete', 'refunding')",
    ),
    check(
        5,
        "ticket",
        "was bought and not refunded but does not belong to its buyer",
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
        "is frozen without a dispute, or not frozen despite one",
        "SELECT t.id AS id, 'frozen ' || CAST(t.frozen AS TEXT) || ', order ' || o.id AS detail \
         FROM orders o JOIN order_lines l ON l.order_id = o.id AND l.live = 1 \
         JOIN tickets t ON t.id = l.ticket_id WHERE o.status IN ('complete', 'refunding') \
         AND (t.frozen = 1) <> EXISTS (SELECT 1 FROM disputes d WHERE d.order_id = o.id \
           AND d.state IN ('open', 'lost'))",
    ),
    check(
        5,
        "ticket",
        "is frozen but not sold",
        "SELECT id, state AS detail FROM tickets WHERE frozen = 1 AND state <> 'sold'",
    ),
    check(
        5,
        "ticket",
        "is sold but no paid order has a live line of it",
        "SELECT t.id AS id, 'owner ' || COALESCE(t.owner_id, 'missing') AS detail FROM tickets t \
         WHERE t.state = 'sold' AND NOT EXISTS (SELECT 1 FROM order_lines l \
           JOIN orders o ON o.id = l.order_id WHERE l.ticket_id = t.id AND l.live = 1 \
           AND o.status IN ('complete', 'refunding'))",
    ),
    check(
        5,
        "order",
        "is refunded but one of its tickets is not",
        "SELECT o.id AS id, 'ticket ' || l.ticket_id AS detail FROM orders o \
         JOIN order_lines l ON l.order_id = o.id WHERE o.status = 'refunded' \
         AND NOT EXISTS (SELECT 1 FROM refund_lines b JOIN refunds r ON r.id = b.refund_id \
           WHERE b.order_id = o.id AND b.ticket_id = l.ticket_id AND b.live = 1 \
           AND r.state = 'succeeded')",
    ),
    check(
        5,
        "order",
        "is refunded but its payment is not",
        "SELECT o.id AS id, '' AS detail FROM orders o WHERE o.status = 'refunded' \
         AND 1 <> (SELECT COUNT(*) FROM payments p WHERE p.order_id = o.id \
           AND p.state = 'refunded' AND p.amount_minor = o.total_minor \
           AND p.received_minor = o.total_minor AND p.refunded_minor = o.total_minor)",
    ),
    check(
        5,
        "order",
        "is not refunded although all its tickets are",
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
        "was refunded but is not withdrawn",
        "SELECT t.id AS id, t.state || ', refund ' || r.id AS detail FROM refunds r \
         JOIN refund_lines b ON b.refund_id = r.id JOIN tickets t ON t.id = b.ticket_id \
         WHERE r.state = 'succeeded' AND b.live = 1 \
         AND (t.state <> 'withdrawn' OR t.owner_id IS NOT NULL) \
         AND (b.ticket_version IS NULL OR b.ticket_version = t.version)",
    ),
    check(
        6,
        "aggregate",
        "has a gap in its versions in the outbox",
        "SELECT aggregate_id AS id, 'version ' || CAST(MIN(version) AS TEXT) || ' is number ' || \
         CAST(MIN(place) AS TEXT) AS detail FROM (SELECT aggregate_id, version, \
           ROW_NUMBER() OVER (PARTITION BY aggregate_id ORDER BY version) AS place FROM outbox) v \
         WHERE version <> place GROUP BY aggregate_id",
    ),
    last_version!("user", "users"),
    last_version!("event", "events"),
    last_version!("ticket", "tickets"),
    last_version!("order", "orders"),
    check(
        7,
        "order",
        "has ended but its payment is still open",
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
            "should have expired more than two minutes ago",
            "SELECT id, status AS detail FROM orders \
             WHERE status IN ('created', 'awaiting_payment') AND hold_until < $1",
        ),
    ),
    since(
        10,
        check(
            8,
            "order",
            "has been in capture for more than ten minutes",
            "SELECT o.id AS id, o.status AS detail FROM orders o WHERE o.status = 'capturing' \
             AND NOT EXISTS (SELECT 1 FROM payments p JOIN payment_effects e \
               ON e.payment_id = p.id WHERE p.order_id = o.id AND e.kind = 'capture' \
               AND e.created_at >= $1)",
        ),
    ),
    at_present(check(
        9,
        "ticket",
        "changed while an order held it",
        "SELECT t.id AS id, 'order ' || o.id || ': ' || \
         CAST(l.price_minor AS TEXT) || ' ' || o.currency || ' at version ' || \
         CAST(l.ticket_version AS TEXT) || ', and now ' || CAST(t.price_minor AS TEXT) || ' ' || \
         t.currency || ' at version ' || CAST(t.version AS TEXT) AS detail FROM orders o \
         JOIN order_lines l ON l.order_id = o.id JOIN tickets t ON t.id = l.ticket_id \
         WHERE o.status IN ('created', 'awaiting_payment', 'capturing') AND l.live = 1 \
         AND (o.status = 'capturing' OR o.hold_until > $1) \
         AND (t.price_minor <> l.price_minor OR t.currency <> o.currency \
           OR t.version <> l.ticket_version)",
    )),
    check(
        9,
        "order",
        "has a total that differs from its lines",
        "SELECT o.id AS id, CAST(o.total_minor AS TEXT) AS detail FROM orders o \
         WHERE o.total_minor <> (SELECT COALESCE(SUM(l.price_minor), 0) FROM order_lines l \
           WHERE l.order_id = o.id)",
    ),
    check(
        10,
        "intent",
        "belongs to more than one payment",
        "SELECT stripe_id AS id, CAST(COUNT(*) AS TEXT) || ' payments' AS detail FROM payments \
         WHERE stripe_id IS NOT NULL GROUP BY stripe_id HAVING COUNT(*) > 1",
    ),
    check(
        10,
        "payment",
        "has more than one call that creates it",
        "SELECT payment_id AS id, CAST(COUNT(*) AS TEXT) || ' calls' AS detail \
         FROM payment_effects WHERE kind = 'create' GROUP BY payment_id HAVING COUNT(*) > 1",
    ),
    check(
        10,
        "call",
        "is stored more than once",
        "SELECT idem_key AS id, CAST(COUNT(*) AS TEXT) || ' rows' AS detail \
         FROM payment_effects GROUP BY idem_key HAVING COUNT(*) > 1",
    ),
    check(
        13,
        "event",
        "has a wrong count of a holder's unpaid tickets",
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
        "has a wrong count of its unpaid tickets",
        "SELECT o.id AS id, o.status || ', counted ' || CAST(o.counted_tickets AS TEXT) AS detail \
         FROM orders o WHERE o.counted_tickets <> CASE \
         WHEN o.status IN ('created', 'awaiting_payment', 'capturing') \
         THEN (SELECT COUNT(*) FROM order_lines l WHERE l.order_id = o.id) ELSE 0 END",
    ),
    check(
        14,
        "ticket",
        "changed before its batch was published",
        "SELECT t.id AS id, t.state || ', version ' || CAST(t.version AS TEXT) AS detail \
         FROM listing_batches b JOIN tickets t ON t.id >= b.first_ticket \
         AND t.id <= b.last_ticket AND t.batch_id = b.id WHERE b.publication IS NULL \
         AND (t.state <> 'listed' OR t.held_by IS NOT NULL OR t.version <> 1)",
    ),
    check(
        14,
        "batch",
        "has a wrong number of staged tickets, or was published incomplete",
        "SELECT b.id AS id, CAST(b.staged AS TEXT) || ' of ' || CAST(b.quantity AS TEXT) AS detail \
         FROM listing_batches b WHERE b.abandoned_at IS NULL AND (b.staged <> \
         (SELECT COUNT(*) FROM tickets t WHERE t.id >= b.first_ticket AND t.id <= b.last_ticket \
         AND t.batch_id = b.id) OR (b.publication IS NOT NULL AND b.staged <> b.quantity))",
    ),
];
