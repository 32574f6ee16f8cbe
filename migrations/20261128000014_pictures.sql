-- Pictures of events. They are here, and not in a folder, so that all processes of a shop and every
-- backup have them.

-- The address of the widest form of its picture, if the event has one.
ALTER TABLE events ADD COLUMN picture TEXT;
