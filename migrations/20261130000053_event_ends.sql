-- When an event ends, and until when its tickets are sold.

-- Null: not said. Its tickets are then shown until 12 hours after the start.
ALTER TABLE events ADD COLUMN ends_at BIGINT;
-- Later than the start. Null: sales end at the start.
ALTER TABLE events ADD COLUMN sales_until BIGINT;

-- For events that have begun and are still on sale.
CREATE INDEX events_sold_on ON events (starts_at, id, sales_until) WHERE sales_until IS NOT NULL;
