
-- From here on `search_text` holds words without accents and signs, one space between them. Those
-- of before are brought near to it; the tokenizer takes away their accents.
UPDATE events SET search_text = replace(replace(replace(replace(replace(replace(search_text,
    '''', ''), '’', ''), 'ß', 'ss'), 'ø', 'o'), 'ł', 'l'), 'æ', 'ae');

-- The index of words knows events by number, which VACUUM must not change.
CREATE TABLE events_numbers (
    number INTEGER PRIMARY KEY,
    row_id TEXT NOT NULL UNIQUE REFERENCES events (id)
);
CREATE VIRTUAL TABLE events_words USING fts5 (
    words, content = '', contentless_delete = 1, prefix = '1 2 3', tokenize = 'unicode61 remove_diacritics 2'
);

CREATE TRIGGER events_words_of_new AFTER INSERT ON events BEGIN
    INSERT INTO events_numbers (row_id) VALUES (new.id);
    INSERT INTO events_words (rowid, words)
    SELECT number, new.search_text FROM events_numbers WHERE row_id = new.id;
END;
CREATE TRIGGER events_words_of_changed AFTER UPDATE OF search_text ON events
WHEN new.search_text <> old.search_text BEGIN
    UPDATE events_words SET words = new.search_text
    WHERE rowid = (SELECT number FROM events_numbers WHERE row_id = new.id);
END;

INSERT INTO events_numbers (row_id) SELECT id FROM events ORDER BY starts_at, id;
INSERT INTO events_words (rowid, words)
SELECT number, search_text FROM events_numbers JOIN events ON events.id = events_numbers.row_id;
