-- Events, and one row for each ticket: a single resale seat and each of an organiser's 10 000.

CREATE TABLE events (
    id          TEXT PRIMARY KEY,
    creator_id  TEXT   NOT NULL REFERENCES users (id),
    title       TEXT   NOT NULL,
    description TEXT   NOT NULL,
    venue       TEXT   NOT NULL,
    city        TEXT   NOT NULL,
    country     TEXT   NOT NULL,
    starts_at   BIGINT NOT NULL,
    time_zone   TEXT   NOT NULL,
    currency    TEXT   NOT NULL,
    -- Title, venue and city in small letters, for the search; and the city alone, for the filter.
    search_text TEXT   NOT NULL,
    city_key    TEXT   NOT NULL,
    version     BIGINT NOT NULL,
    created_at  BIGINT NOT NULL
);

CREATE INDEX events_by_start ON events (starts_at, id);
CREATE INDEX events_by_city ON events (city_key, starts_at);
CREATE INDEX events_by_creator ON events (creator_id, starts_at);

CREATE TABLE tickets (
    id               TEXT PRIMARY KEY,
    event_id         TEXT   NOT NULL REFERENCES events (id),
    seller_id        TEXT   NOT NULL REFERENCES users (id),
    owner_id         TEXT REFERENCES users (id),
    section          TEXT,
    row_label        TEXT,
    seat             TEXT,
    price_minor      BIGINT NOT NULL CHECK (price_minor BETWEEN 1 AND 99999999),
    face_value_minor BIGINT CHECK (face_value_minor BETWEEN 1 AND 99999999),
    currency         TEXT   NOT NULL,
    state            TEXT   NOT NULL CHECK (state IN ('listed', 'sold', 'withdrawn')),
    -- The order that holds it, and until when. It is reserved while `held_until` is in the
    -- future: by the clock, whether or not anybody has tidied up. 0 means nobody holds it.
    held_by          TEXT,
    held_until       BIGINT NOT NULL DEFAULT 0,
    version          BIGINT NOT NULL,
    created_at       BIGINT NOT NULL,
    CHECK ((state = 'sold') = (owner_id IS NOT NULL)),
    CHECK ((held_by IS NULL) = (held_until = 0))
);

-- What can be bought at an event, cheapest first: free tickets stand together at held_until 0,
-- lapsed holds follow, so neither is looked for behind the held ones.
CREATE INDEX tickets_on_sale ON tickets (event_id, held_until, price_minor, id) WHERE state = 'listed';
CREATE INDEX tickets_by_event ON tickets (event_id, price_minor, id);
CREATE INDEX tickets_by_seller ON tickets (seller_id, id);
CREATE INDEX tickets_by_owner ON tickets (owner_id) WHERE owner_id IS NOT NULL;
CREATE INDEX tickets_by_holder ON tickets (held_by) WHERE held_by IS NOT NULL;
