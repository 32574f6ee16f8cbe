-- Large listings are inserted in several transactions and published by one update of their batch.
-- Until then no query that lists, counts or sells tickets sees the rows that name the batch.
CREATE TABLE listing_batches (
    id           TEXT   NOT NULL PRIMARY KEY,
    seller_id    TEXT   NOT NULL REFERENCES users (id),
    event_id     TEXT   NOT NULL REFERENCES events (id),
    quantity     BIGINT NOT NULL,
    -- The day whose usage it counts for.
    day          BIGINT NOT NULL,
    -- How many of them have been inserted, and when the last were.
    staged       BIGINT NOT NULL DEFAULT 0,
    staged_at    BIGINT NOT NULL,
    -- The ids of the tickets lie between these two.
    first_ticket TEXT   NOT NULL,
    last_ticket  TEXT   NOT NULL,
    -- A version 7 UUID made at publication: sorts by time among the ids of the outbox.
    publication  TEXT,
    abandoned_at BIGINT,
    CHECK (publication IS NULL OR abandoned_at IS NULL)
);

-- One seller stages one batch at a time.
CREATE UNIQUE INDEX one_open_batch ON listing_batches (seller_id)
    WHERE publication IS NULL AND abandoned_at IS NULL;
CREATE INDEX listing_batches_unpublished ON listing_batches (id) WHERE publication IS NULL;
CREATE INDEX listing_batches_by_publication ON listing_batches (publication)
    WHERE publication IS NOT NULL;

ALTER TABLE tickets ADD COLUMN batch_id TEXT;
ALTER TABLE outbox ADD COLUMN batch_id TEXT;

-- How many tickets each seller has listed on a day (days since 1970, UTC).
CREATE TABLE listing_usage (
    seller_id TEXT   NOT NULL REFERENCES users (id),
    day       BIGINT NOT NULL,
    tickets   BIGINT NOT NULL,
    PRIMARY KEY (seller_id, day)
);
