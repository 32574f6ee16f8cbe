-- The second factor of an account: an app that shows a new code every 30 seconds (RFC 6238).
CREATE TABLE second_factors (
    user_id    TEXT PRIMARY KEY REFERENCES users (id),
    -- What the app and the shop share, encrypted (passes/encrypted.rs).
    secret     TEXT   NOT NULL,
    enabled_at BIGINT NOT NULL,
    -- The 30 seconds, counted from 1970, of the newest code that was used: no code is used twice.
    last_step  BIGINT NOT NULL
);

-- Codes that work once each in place of the app's.
CREATE TABLE recovery_codes (
    user_id   TEXT NOT NULL REFERENCES users (id),
    -- SHA-256 of the code.
    code_hash TEXT NOT NULL,
    -- Null: it has not been used.
    used_at   BIGINT,
    PRIMARY KEY (user_id, code_hash)
);
