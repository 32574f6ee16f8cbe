-- People look after their accounts: where they are signed in, a new password, and the end of it.

-- Sessions count only if they are of this epoch: a new password, or signing out everywhere, begins
-- the next, in the transaction that does it and wherever the sessions are kept.
ALTER TABLE users ADD COLUMN session_epoch BIGINT NOT NULL DEFAULT 0;
-- When the person left. The row stays without anything personal: orders and books refer to it.
ALTER TABLE users ADD COLUMN deleted_at BIGINT;

ALTER TABLE sessions ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;
-- When it was signed in and last used; 0 is not known.
ALTER TABLE sessions ADD COLUMN begun_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN seen_at BIGINT NOT NULL DEFAULT 0;
-- `Firefox on Windows`: what a person knows it by.
ALTER TABLE sessions ADD COLUMN device TEXT;

-- Somebody forgot a password. Gone once it is used, or with the password that it was to replace.
CREATE TABLE password_resets (
    -- The mail's subject.
    id         TEXT PRIMARY KEY,
    user_id    TEXT   NOT NULL REFERENCES users (id),
    -- SHA-256 of what the link carries: null until the mail is written, which alone knows it.
    token_hash TEXT UNIQUE,
    asked_at   BIGINT NOT NULL,
    -- Until when the link works; null until the mail is written.
    expires_at BIGINT
);

CREATE INDEX password_resets_by_user ON password_resets (user_id);

-- Made anew: which kinds there are is said in one place, the code. SQLite cannot drop a CHECK.
DROP INDEX mails_due;
ALTER TABLE mails RENAME TO mails_before;

CREATE TABLE mails (
    id         TEXT PRIMARY KEY,
    kind       TEXT   NOT NULL,
    -- What it is about: one mail of a kind about each.
    subject    TEXT   NOT NULL,
    state      TEXT   NOT NULL CHECK (state IN ('pending', 'sent', 'failed')),
    tries      BIGINT NOT NULL DEFAULT 0,
    next_at    BIGINT NOT NULL,
    last_error TEXT,
    created_at BIGINT NOT NULL,
    UNIQUE (kind, subject)
);

INSERT INTO mails (id, kind, subject, state, tries, next_at, last_error, created_at)
SELECT id, kind, subject, state, tries, next_at, last_error, created_at FROM mails_before;

CREATE INDEX mails_due ON mails (next_at) WHERE state = 'pending';

DROP TABLE mails_before;
