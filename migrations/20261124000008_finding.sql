-- What an event is found by: its words (see the engine's own part), its category, and the days of
-- its venue. What was there before counts as of the category 'other', its day as that of UTC.

ALTER TABLE events ADD COLUMN category TEXT NOT NULL DEFAULT 'other';
-- How far the venue's clocks are ahead of UTC when the event begins, in microseconds.
ALTER TABLE events ADD COLUMN utc_offset BIGINT NOT NULL DEFAULT 0;
CREATE INDEX events_by_category ON events (category, starts_at, id);
