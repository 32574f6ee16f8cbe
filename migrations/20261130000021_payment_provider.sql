-- With which payment provider, and in which of its modes, this shop's payments are made. Written
-- together with the first payment, or at the first start with live keys; there is one row at most.
CREATE TABLE payment_provider (
    id    BIGINT PRIMARY KEY CHECK (id = 1),
    mode  TEXT   NOT NULL CHECK (mode IN ('demo', 'double', 'test', 'live')),
    since BIGINT NOT NULL
);
