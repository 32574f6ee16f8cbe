-- People and their sessions. One text for SQLite and PostgreSQL, as every file here:
-- ids are UUIDs as text, times microseconds since 1970 UTC, money minor units, flags 0 or 1.

CREATE TABLE users (
    id            TEXT PRIMARY KEY,
    -- As typed; `email_key` is the same in small letters and is what must be unique.
    email         TEXT   NOT NULL,
    email_key     TEXT   NOT NULL UNIQUE,
    name          TEXT   NOT NULL,
    password_hash TEXT   NOT NULL,
    version       BIGINT NOT NULL,
    created_at    BIGINT NOT NULL
);

CREATE TABLE sessions (
    -- SHA-256 of the session id: who reads this table cannot sign in with it.
    id_hash    TEXT PRIMARY KEY,
    user_id    TEXT REFERENCES users (id),
    record     TEXT   NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX sessions_by_expiry ON sessions (expires_at);
CREATE INDEX sessions_by_user ON sessions (user_id);
