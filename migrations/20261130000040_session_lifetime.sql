-- A session ends 90 days after its sign-in, however much it is used. Of sessions that were begun before
-- that was written down, the latest possible sign-in is taken: none is ended by this.
UPDATE sessions SET begun_at = expires_at - 2592000000000 WHERE begun_at = 0 AND user_id IS NOT NULL;
