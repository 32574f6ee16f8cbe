-- What each buyer and each network address holds of an event without having paid. Reserving adds to
-- these rows by a conditional write, so that two processes cannot both give out the last of a limit.
CREATE TABLE hold_usage (
    event_id   TEXT   NOT NULL,
    kind       TEXT   NOT NULL CHECK (kind IN ('buyer', 'network')),
    -- The buyer's id, or the network address.
    holder     TEXT   NOT NULL,
    -- Tickets in orders that are open or being charged, and how many orders those are.
    tickets    BIGINT NOT NULL,
    orders     BIGINT NOT NULL,
    -- How many of the buyer's orders in a row ended unpaid, and until when the next one has to wait.
    lapses     BIGINT NOT NULL DEFAULT 0,
    wait_until BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (event_id, kind, holder)
);

-- How many tickets this order has in hold_usage: 0 once it is paid or has ended.
ALTER TABLE orders ADD COLUMN counted_tickets BIGINT NOT NULL DEFAULT 0;
-- The network address it was made from, while it is counted.
ALTER TABLE orders ADD COLUMN network TEXT;

CREATE INDEX orders_counted ON orders (buyer_id, event_id) WHERE counted_tickets > 0;
CREATE INDEX orders_by_network ON orders (event_id, network) WHERE network IS NOT NULL;

-- Orders that are open now count for their buyers; where they came from is not known.
UPDATE orders SET counted_tickets =
    (SELECT COUNT(*) FROM order_lines l WHERE l.order_id = orders.id)
WHERE status IN ('created', 'awaiting_payment', 'capturing');

INSERT INTO hold_usage (event_id, kind, holder, tickets, orders)
SELECT event_id, 'buyer', buyer_id, CAST(SUM(counted_tickets) AS BIGINT), COUNT(*)
FROM orders WHERE counted_tickets > 0 GROUP BY event_id, buyer_id;
