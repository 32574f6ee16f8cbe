-- How far columns have been filled whose values are computed by the program, not by SQL: each
-- backfill goes through its table in the order of the key and can be cut short at any row.
CREATE TABLE backfills (
    name    TEXT PRIMARY KEY,
    -- The last key that is done.
    after   TEXT   NOT NULL,
    done_at BIGINT
);
