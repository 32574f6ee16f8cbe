-- What happened: domain events, written in the transaction that they tell of.

CREATE TABLE outbox (
    -- UUIDv7: sorts by time.
    id             TEXT PRIMARY KEY,
    type           TEXT   NOT NULL,
    aggregate_type TEXT   NOT NULL,
    aggregate_id   TEXT   NOT NULL,
    version        BIGINT NOT NULL,
    occurred_at    BIGINT NOT NULL,
    data           TEXT   NOT NULL,
    published_at   BIGINT,
    -- Versions of one aggregate run 1, 2, 3 … and no two events claim the same.
    UNIQUE (aggregate_id, version)
);

CREATE INDEX outbox_waiting ON outbox (id) WHERE published_at IS NULL;

-- Answers to POSTs that carried an Idempotency-Key, for 24 hours.
CREATE TABLE idempotency_keys (
    user_id      TEXT   NOT NULL REFERENCES users (id),
    key          TEXT   NOT NULL,
    -- SHA-256 over method, path and body.
    request_hash TEXT   NOT NULL,
    -- Null while the first request runs.
    status       BIGINT,
    body         TEXT,
    created_at   BIGINT NOT NULL,
    PRIMARY KEY (user_id, key)
);

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
