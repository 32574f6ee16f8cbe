-- Whether somebody has proved that an account's address is theirs.

-- When: by following a link that was mailed there. Null: nobody has yet.
ALTER TABLE users ADD COLUMN email_verified_at BIGINT;

-- Links that prove an address, the account's own or one that is to replace it.
CREATE TABLE email_proofs (
    -- The mail's subject.
    id         TEXT PRIMARY KEY,
    user_id    TEXT   NOT NULL REFERENCES users (id),
    -- What following the link proves.
    email      TEXT   NOT NULL,
    -- SHA-256 of what the link carries: null until the mail is written, which alone knows it, and
    -- once it has been followed.
    token_hash TEXT UNIQUE,
    asked_at   BIGINT NOT NULL,
    -- Until when the link works; null until the mail is written.
    expires_at BIGINT,
    -- The address that it has replaced, which is told. Null: none.
    replaced   TEXT
);

CREATE INDEX email_proofs_by_user ON email_proofs (user_id);

-- When an address that nobody has proved was last written to, for each kind of mail that is then
-- sent rarely.
CREATE TABLE mail_turns (
    -- SHA-256 of the address's key.
    address_hash TEXT   NOT NULL,
    kind         TEXT   NOT NULL,
    -- When the last mail was due.
    due_at       BIGINT NOT NULL,
    PRIMARY KEY (address_hash, kind)
);

CREATE INDEX mail_turns_by_time ON mail_turns (due_at);
