-- Money on its way back, the books, and what a person should look at.
--
-- `payments` and `payment_effects` are made anew: SQLite cannot change a CHECK.

DROP INDEX one_live_payment;
DROP INDEX effects_due;
DROP INDEX effects_by_payment;
ALTER TABLE payment_effects RENAME TO payment_effects_before;
ALTER TABLE payments RENAME TO payments_before;

CREATE TABLE payments (
    id             TEXT PRIMARY KEY,
    order_id       TEXT   NOT NULL REFERENCES orders (id),
    attempt        BIGINT NOT NULL,
    -- Stripe's PaymentIntent; null until Stripe has answered.
    stripe_id      TEXT UNIQUE,
    -- refunding: money was taken that no order stands for, and is on its way back.
    state          TEXT   NOT NULL CHECK (state IN (
        'intended', 'open', 'requires_action', 'capturing', 'captured', 'voiding', 'voided', 'failed',
        'refunding', 'refunded'
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
    CHECK (refunded_minor BETWEEN 0 AND received_minor)
);

INSERT INTO payments (id, order_id, attempt, stripe_id, state, amount_minor, currency, received_minor,
    refunded_minor, client_secret, bank_url, declined, confirmations, created_at)
SELECT id, order_id, attempt, stripe_id, state, amount_minor, currency, received_minor,
    refunded_minor, client_secret, bank_url, declined, confirmations, created_at
FROM payments_before;

-- One payment of an order can be under way at a time.
CREATE UNIQUE INDEX one_live_payment ON payments (order_id)
    WHERE state IN ('intended', 'open', 'requires_action', 'capturing', 'captured');
-- What the sweep looks after: behind the fence, or to be looked at before its hold ends.
CREATE INDEX payments_under_way ON payments (created_at)
    WHERE state IN ('intended', 'open', 'requires_action', 'capturing', 'voiding', 'refunding');

-- A call to Stripe, written down before it is made. Its key and parameters never change, so
-- that making it again after a crash or a lost answer is the same call.
CREATE TABLE payment_effects (
    id         TEXT PRIMARY KEY,
    payment_id TEXT   NOT NULL REFERENCES payments (id),
    kind       TEXT   NOT NULL CHECK (kind IN ('create', 'confirm', 'capture', 'void', 'refund')),
    idem_key   TEXT   NOT NULL UNIQUE,
    params     TEXT   NOT NULL,
    state      TEXT   NOT NULL CHECK (state IN ('pending', 'done', 'failed')),
    tries      BIGINT NOT NULL DEFAULT 0,
    -- When it may be tried (again); moved ahead as a lease by whoever is trying.
    next_at    BIGINT NOT NULL,
    last_error TEXT,
    created_at BIGINT NOT NULL
);

INSERT INTO payment_effects (id, payment_id, kind, idem_key, params, state, tries, next_at, last_error, created_at)
SELECT id, payment_id, kind, idem_key, params, state, tries, next_at, last_error, created_at
FROM payment_effects_before;

CREATE INDEX effects_due ON payment_effects (next_at) WHERE state = 'pending';
CREATE INDEX effects_by_payment ON payment_effects (payment_id);

DROP TABLE payment_effects_before;
DROP TABLE payments_before;

-- People who may refund any order. Granted by `stagedoor operator`, by nothing else.
ALTER TABLE users ADD COLUMN is_operator BIGINT NOT NULL DEFAULT 0;

CREATE TABLE refunds (
    id             TEXT PRIMARY KEY,
    payment_id     TEXT   NOT NULL REFERENCES payments (id),
    order_id       TEXT   NOT NULL REFERENCES orders (id),
    amount_minor   BIGINT NOT NULL CHECK (amount_minor > 0),
    currency       TEXT   NOT NULL,
    -- seller, operator: asked for by one. late_capture: money that no order stands for.
    -- provider: made at Stripe by somebody else, and written down here.
    reason         TEXT   NOT NULL CHECK (reason IN ('seller', 'operator', 'late_capture', 'provider')),
    -- Who asked; null where nobody did.
    asked_by       TEXT REFERENCES users (id),
    -- Stripe's refund; null until Stripe has answered.
    stripe_id      TEXT UNIQUE,
    -- pending: Stripe is at it. Succeeded can still turn to failed: the buyer's bank sent it back.
    state          TEXT   NOT NULL CHECK (state IN ('intended', 'pending', 'succeeded', 'failed')),
    failure        TEXT,
    created_at     BIGINT NOT NULL,
    settled_at     BIGINT
);

CREATE INDEX refunds_by_order ON refunds (order_id);
CREATE INDEX refunds_by_payment ON refunds (payment_id);
CREATE INDEX refunds_under_way ON refunds (created_at) WHERE state IN ('intended', 'pending');

CREATE TABLE refund_lines (
    refund_id      TEXT   NOT NULL REFERENCES refunds (id),
    order_id       TEXT   NOT NULL REFERENCES orders (id),
    ticket_id      TEXT   NOT NULL REFERENCES tickets (id),
    amount_minor   BIGINT NOT NULL CHECK (amount_minor > 0),
    -- The ticket's version once it was back in its seller's hands: a refund that fails later
    -- finds it unchanged, or a person has to look.
    ticket_version BIGINT,
    -- 0 once the refund has failed.
    live           BIGINT NOT NULL CHECK (live IN (0, 1)),
    PRIMARY KEY (refund_id, ticket_id)
);

-- No ticket of an order is paid back twice.
CREATE UNIQUE INDEX one_live_refund_line ON refund_lines (order_id, ticket_id) WHERE live = 1;

-- The books: double entry, the lines of an entry sum to zero. Written once, never changed.
-- Accounts: `provider`, what Stripe holds for us; `seller`, what a seller is owed (below zero);
-- `unallocated`, what was taken without an order and is owed back.
CREATE TABLE ledger (
    entry_id     TEXT   NOT NULL,
    line         BIGINT NOT NULL,
    kind         TEXT   NOT NULL CHECK (kind IN ('capture', 'refund', 'refund_failed')),
    payment_id   TEXT   NOT NULL REFERENCES payments (id),
    refund_id    TEXT REFERENCES refunds (id),
    account      TEXT   NOT NULL CHECK (account IN ('provider', 'seller', 'unallocated')),
    seller_id    TEXT REFERENCES users (id),
    amount_minor BIGINT NOT NULL CHECK (amount_minor <> 0),
    currency     TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    PRIMARY KEY (entry_id, line),
    CHECK ((account = 'seller') = (seller_id IS NOT NULL))
);

CREATE INDEX ledger_by_payment ON ledger (payment_id);
CREATE INDEX ledger_by_seller ON ledger (seller_id) WHERE seller_id IS NOT NULL;

-- What was taken before there were books.
INSERT INTO ledger (entry_id, line, kind, payment_id, account, seller_id, amount_minor, currency, created_at)
SELECT 'capture:' || p.id, 0, 'capture', p.id, 'provider', NULL, p.received_minor, p.currency, p.created_at
FROM payments p WHERE p.state = 'captured';
INSERT INTO ledger (entry_id, line, kind, payment_id, account, seller_id, amount_minor, currency, created_at)
SELECT 'capture:' || s.payment_id, s.line, 'capture', s.payment_id, 'seller', s.seller_id, -s.owed, s.currency, s.created_at
FROM (SELECT p.id AS payment_id, t.seller_id AS seller_id, p.currency AS currency, p.created_at AS created_at,
        CAST(SUM(l.price_minor) AS BIGINT) AS owed,
        ROW_NUMBER() OVER (PARTITION BY p.id ORDER BY t.seller_id) AS line
    FROM payments p JOIN order_lines l ON l.order_id = p.order_id JOIN tickets t ON t.id = l.ticket_id
    WHERE p.state = 'captured' GROUP BY p.id, t.seller_id, p.currency, p.created_at) s;

-- What a person should look at. The same thing is open once.
CREATE TABLE incidents (
    id         TEXT PRIMARY KEY,
    kind       TEXT   NOT NULL,
    -- What it is about: a payment, a refund, or a PaymentIntent that we don't know.
    subject    TEXT   NOT NULL,
    order_id   TEXT REFERENCES orders (id),
    detail     TEXT   NOT NULL,
    found_at   BIGINT NOT NULL,
    settled_at BIGINT
);

CREATE UNIQUE INDEX one_open_incident ON incidents (kind, subject) WHERE settled_at IS NULL;

-- Mails to be sent, written in the transaction that they tell of.
CREATE TABLE mails (
    id         TEXT PRIMARY KEY,
    kind       TEXT   NOT NULL CHECK (kind IN (
        'order_complete', 'order_expired', 'order_refunded', 'refund_failed', 'attention'
    )),
    -- The order, refund or incident that it is about: one mail of a kind about each.
    subject    TEXT   NOT NULL,
    state      TEXT   NOT NULL CHECK (state IN ('pending', 'sent', 'failed')),
    tries      BIGINT NOT NULL DEFAULT 0,
    next_at    BIGINT NOT NULL,
    last_error TEXT,
    created_at BIGINT NOT NULL,
    UNIQUE (kind, subject)
);

CREATE INDEX mails_due ON mails (next_at) WHERE state = 'pending';
