-- How many cards are tried, so that nobody finds out by a shop which stolen cards still work.

-- One row for each account and network address, under a hash that does not name it.
CREATE TABLE card_trials (
    key      TEXT PRIMARY KEY,
    -- When the first of them was tried; a day later they count anew.
    began_at BIGINT NOT NULL,
    -- Cards that were declined since, and those whose answer is not known yet.
    used     BIGINT NOT NULL CHECK (used >= 0)
);
CREATE INDEX card_trials_by_age ON card_trials (began_at);

-- The rows that this call is counted in, until it is known that the card was not declined.
ALTER TABLE payment_effects ADD COLUMN counted_in TEXT;

-- When the provider was last asked where a payment stands because somebody looked at it.
ALTER TABLE payments ADD COLUMN looked_at BIGINT NOT NULL DEFAULT 0;
