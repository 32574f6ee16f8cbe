-- Orders and the tickets in them. Nothing is ever deleted here; states move.

CREATE TABLE orders (
    id           TEXT PRIMARY KEY,
    buyer_id     TEXT   NOT NULL REFERENCES users (id),
    event_id     TEXT   NOT NULL REFERENCES events (id),
    status       TEXT   NOT NULL CHECK (status IN (
        'created', 'awaiting_payment', 'capturing', 'complete', 'expired', 'cancelled', 'refunding', 'refunded'
    )),
    total_minor  BIGINT NOT NULL CHECK (total_minor > 0),
    currency     TEXT   NOT NULL,
    -- When the buyer's time ends: fixed at the start, never lengthened.
    expires_at   BIGINT NOT NULL,
    -- When the tickets come free: expires_at, and a grace once a payment has begun.
    hold_until   BIGINT NOT NULL,
    -- A person should look at it. Never changes what is sold.
    attention    BIGINT NOT NULL DEFAULT 0,
    -- The attempt's name and the hash of what it asked for: the same attempt is the same order.
    request_key  TEXT,
    request_hash TEXT,
    version      BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    UNIQUE (buyer_id, request_key)
);

CREATE INDEX orders_by_buyer ON orders (buyer_id, id);
CREATE INDEX orders_due ON orders (hold_until) WHERE status IN ('created', 'awaiting_payment');

CREATE TABLE order_lines (
    order_id    TEXT   NOT NULL REFERENCES orders (id),
    ticket_id   TEXT   NOT NULL REFERENCES tickets (id),
    -- The price at the moment of reserving.
    price_minor BIGINT NOT NULL CHECK (price_minor BETWEEN 1 AND 99999999),
    -- The ticket's version once it was reserved: a late payment finds it unchanged or is voided.
    ticket_version BIGINT NOT NULL,
    -- 1 while the order holds or has bought the ticket.
    live        BIGINT NOT NULL CHECK (live IN (0, 1)),
    PRIMARY KEY (order_id, ticket_id)
);

-- The proof that nothing is sold twice: one live line a ticket, whatever any code believes.
CREATE UNIQUE INDEX one_live_line ON order_lines (ticket_id) WHERE live = 1;
