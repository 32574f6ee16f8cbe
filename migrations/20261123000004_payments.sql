-- Payments, every call that they make to Stripe, and what Stripe tells us.

CREATE TABLE payments (
    id             TEXT PRIMARY KEY,
    order_id       TEXT   NOT NULL REFERENCES orders (id),
    attempt        BIGINT NOT NULL,
    -- Stripe's PaymentIntent; null until Stripe has answered.
    stripe_id      TEXT UNIQUE,
    state          TEXT   NOT NULL CHECK (state IN (
        'intended', 'open', 'requires_action', 'capturing', 'captured', 'voiding', 'voided', 'failed', 'refunded'
    )),
    amount_minor   BIGINT NOT NULL CHECK (amount_minor > 0),
    currency       TEXT   NOT NULL,
    received_minor BIGINT NOT NULL DEFAULT 0,
    refunded_minor BIGINT NOT NULL DEFAULT 0,
    client_secret  TEXT,
    -- Where the buyer's bank wants to see the buyer, while it does.
    bank_url       TEXT,
    -- What the buyer was told at the last decline.
    declined       TEXT,
    confirmations  BIGINT NOT NULL DEFAULT 0,
    created_at     BIGINT NOT NULL,
    UNIQUE (order_id, attempt),
    CHECK (refunded_minor <= received_minor)
);

-- One payment of an order can be under way at a time.
CREATE UNIQUE INDEX one_live_payment ON payments (order_id)
    WHERE state IN ('intended', 'open', 'requires_action', 'capturing', 'captured');

-- A call to Stripe, written down before it is made. Its key and parameters never change, so
-- that making it again after a crash or a lost answer is the same call.
CREATE TABLE payment_effects (
    id         TEXT PRIMARY KEY,
    payment_id TEXT   NOT NULL REFERENCES payments (id),
    kind       TEXT   NOT NULL CHECK (kind IN ('create', 'confirm', 'capture', 'void')),
    idem_key   TEXT   NOT NULL UNIQUE,
    params     TEXT   NOT NULL,
    state      TEXT   NOT NULL CHECK (state IN ('pending', 'done', 'failed')),
    tries      BIGINT NOT NULL DEFAULT 0,
    -- When it may be tried (again); moved ahead as a lease by whoever is trying.
    next_at    BIGINT NOT NULL,
    last_error TEXT,
    created_at BIGINT NOT NULL
);

CREATE INDEX effects_due ON payment_effects (next_at) WHERE state = 'pending';
CREATE INDEX effects_by_payment ON payment_effects (payment_id);

-- Webhooks, once each by Stripe's own event id.
CREATE TABLE stripe_inbox (
    event_id     TEXT PRIMARY KEY,
    type         TEXT   NOT NULL,
    stripe_id    TEXT,
    payload      TEXT   NOT NULL,
    received_at  BIGINT NOT NULL,
    processed_at BIGINT
);

CREATE INDEX inbox_waiting ON stripe_inbox (received_at) WHERE processed_at IS NULL;
