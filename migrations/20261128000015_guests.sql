-- People who buy as guests have an account like any other, without a password: `password_hash` is
-- empty, and no password is right for it.

-- SHA-256 of what the form carried that made the account: the same form sent twice makes one.
ALTER TABLE users ADD COLUMN guest_key TEXT;
-- Where its reader was going when they asked for the link.
ALTER TABLE password_resets ADD COLUMN next TEXT;
