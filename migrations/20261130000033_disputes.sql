-- Payments whose cardholder asked their bank for the money back. The tickets of a payment are frozen
-- while a dispute of it is open, and after it was lost.
CREATE TABLE disputes (
    -- Stripe's.
    id           TEXT PRIMARY KEY,
    payment_id   TEXT   NOT NULL REFERENCES payments (id),
    order_id     TEXT   NOT NULL REFERENCES orders (id),
    -- open, won or lost, as seen from the shop.
    state        TEXT   NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency     TEXT   NOT NULL,
    -- In Stripe's word for it.
    reason       TEXT   NOT NULL,
    found_at     BIGINT NOT NULL,
    settled_at   BIGINT
);
CREATE INDEX disputes_by_payment ON disputes (payment_id);
CREATE INDEX disputes_by_order ON disputes (order_id);

-- 1: its pass lets nobody in, and its price is not paid back. It is still sold.
ALTER TABLE tickets ADD COLUMN frozen BIGINT NOT NULL DEFAULT 0;
