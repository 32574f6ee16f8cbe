-- Each time that a card was refused, by the attempt it was: what the buyer's page and an operator
-- say of it later. Stripe keeps only the last one of an intent.
CREATE TABLE payment_declines (
    payment_id  TEXT   NOT NULL REFERENCES payments (id),
    -- As `payments.confirmations` was: 0 for the first card.
    attempt     BIGINT NOT NULL,
    -- Stripe's decline code, or its error code where the bank gave none.
    code        TEXT   NOT NULL,
    declined_at BIGINT NOT NULL,
    PRIMARY KEY (payment_id, attempt)
);
