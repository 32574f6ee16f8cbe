-- The network that a session was last used from, without its last part. Null: not known, as of sessions
-- that were begun before this was written down.
ALTER TABLE sessions ADD COLUMN network TEXT;
