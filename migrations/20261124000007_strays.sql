-- A second intent for one payment is a payment of its own, with an attempt below 1; before, its void
-- was a call of the payment that it stood beside. What was still pending of those is written down
-- anew when the intent is seen the next time, at the latest by the hourly comparison.

UPDATE payment_effects SET state = 'done', last_error = 'dropped: its intent becomes a payment'
WHERE state = 'pending' AND kind = 'void' AND idem_key LIKE 'void-stray:%';
