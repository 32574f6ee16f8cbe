-- What was looked for from one end of a table to the other.

-- Tickets of whatever event and seller, newest first, by where they stand.
CREATE INDEX tickets_listed ON tickets (id) WHERE state = 'listed';
CREATE INDEX tickets_sold ON tickets (id) WHERE state = 'sold';
CREATE INDEX tickets_withdrawn ON tickets (id) WHERE state = 'withdrawn';
-- Payments with calls that wait, for the sweep; and those of some days, to compare with the provider.
CREATE INDEX effects_pending ON payment_effects (payment_id, next_at) WHERE state = 'pending';
CREATE INDEX payments_by_time ON payments (created_at);
CREATE INDEX operators ON users (email_key) WHERE is_operator = 1;
CREATE INDEX password_resets_by_age ON password_resets (asked_at);
