-- People who want to be told when an event that has nothing for sale has something again.

CREATE TABLE waiting (
    id        TEXT PRIMARY KEY,
    event_id  TEXT   NOT NULL REFERENCES events (id),
    -- Where to write to, as it was typed, and in small letters.
    email     TEXT   NOT NULL,
    email_key TEXT   NOT NULL,
    -- Whose own address it is; null where its owner was not signed in.
    user_id   TEXT REFERENCES users (id),
    quantity  BIGINT NOT NULL CHECK (quantity BETWEEN 1 AND 8),
    -- asked: the address has not been confirmed. told: there were tickets, and that was said.
    state     TEXT   NOT NULL CHECK (state IN ('asked', 'waiting', 'told')),
    -- Since when it has waited, its place in the line; while it is asked, since when that is.
    since     BIGINT NOT NULL,
    -- When this address was last written to about this event.
    mailed_at BIGINT NOT NULL,
    -- When it was last told of tickets.
    told_at   BIGINT NOT NULL DEFAULT 0,
    UNIQUE (event_id, email_key)
);

CREATE INDEX waiting_in_line ON waiting (event_id, since, id) WHERE state = 'waiting';
CREATE INDEX waiting_by_user ON waiting (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX waiting_by_email ON waiting (email_key);

-- What was written to whom. Each mail has a link of its own, which works as long as the entry stands.
CREATE TABLE waiting_mails (
    -- The mail's subject.
    id         TEXT PRIMARY KEY,
    waiting_id TEXT   NOT NULL REFERENCES waiting (id) ON DELETE CASCADE,
    queued_at  BIGINT NOT NULL,
    -- SHA-256 of what the link carries: null until the mail is written, which alone knows it.
    token_hash TEXT UNIQUE
);

CREATE INDEX waiting_mails_by_entry ON waiting_mails (waiting_id);

-- Of how many of an event's free tickets people have been told, so that nobody further down the line
-- is told of the same ones at once.
CREATE TABLE waiting_rounds (
    event_id TEXT PRIMARY KEY REFERENCES events (id),
    told_of  BIGINT NOT NULL CHECK (told_of >= 0),
    -- When somebody was last told.
    told_at  BIGINT NOT NULL,
    -- Counts changes, from 1: who has not seen the last one tells nobody.
    version  BIGINT NOT NULL
);
