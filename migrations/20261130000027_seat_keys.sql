-- A seat as it is compared, whoever lists it and however it is written; null without a seat. Existing
-- rows are filled by the program, which knows how names are compared. Where a seat was listed twice
-- before, the later listing has none and stays as it is.
ALTER TABLE tickets ADD COLUMN seat_key TEXT;

-- A seat of an event is listed, held or sold once.
CREATE UNIQUE INDEX one_listing_of_a_seat ON tickets (event_id, seat_key)
    WHERE seat_key IS NOT NULL AND state <> 'withdrawn';
