-- Changes of an event's title, time or place, of which the buyers of its tickets are to be told.
CREATE TABLE event_changes (
    id       TEXT PRIMARY KEY,
    event_id TEXT   NOT NULL REFERENCES events (id),
    -- waiting for further changes, telling, or told.
    state    TEXT   NOT NULL,
    -- What the event was before the first change, as JSON.
    was      TEXT   NOT NULL,
    -- When the first and the last change were made.
    first_at BIGINT NOT NULL,
    last_at  BIGINT NOT NULL,
    -- When the telling begins.
    due_at   BIGINT NOT NULL,
    -- The last order whose buyer a mail was queued for.
    reached  TEXT   NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX one_waiting_change ON event_changes (event_id) WHERE state = 'waiting';
CREATE INDEX event_changes_due ON event_changes (due_at) WHERE state <> 'told';
CREATE INDEX event_changes_by_event ON event_changes (event_id);

-- The orders of an event, page by page.
CREATE INDEX orders_by_event ON orders (event_id, id);
