-- What came of a call, so that each attempt to pay is told its own result, whatever another attempt
-- does meanwhile: made, declined, bad_token or refused. Null while the call is pending, where it was
-- not needed after all, and where a process of an earlier version settled it.
ALTER TABLE payment_effects ADD COLUMN outcome TEXT;
