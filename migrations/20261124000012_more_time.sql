-- A buyer may ask for more time once an order: 1 once that was done.

ALTER TABLE orders ADD COLUMN extended BIGINT NOT NULL DEFAULT 0;
