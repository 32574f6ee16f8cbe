
-- The forms of an event's picture: JPEG, one for each width.
CREATE TABLE pictures (
    event_id TEXT   NOT NULL REFERENCES events (id),
    width    BIGINT NOT NULL CHECK (width > 0),
    -- Names the picture by what its forms hold: 32 hex digits of their SHA-256.
    digest   TEXT   NOT NULL,
    bytes    BYTEA  NOT NULL,
    PRIMARY KEY (event_id, width)
);
CREATE INDEX pictures_by_digest ON pictures (digest, width);
