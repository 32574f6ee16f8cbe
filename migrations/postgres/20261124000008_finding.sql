
-- From here on `search_text` holds words without accents and signs, one space between them.
UPDATE events SET search_text = trim(regexp_replace(regexp_replace(
    replace(replace(translate(normalize(search_text, NFKD), 'øł''’', 'ol'), 'ß', 'ss'), 'æ', 'ae'),
    '[\u0300-\u036f]', '', 'g'), '[^[:alnum:]]+', ' ', 'g'));

-- The words as they are: no dictionary, no stemming, no list of words that do not count.
ALTER TABLE events ADD COLUMN words tsvector NOT NULL
    GENERATED ALWAYS AS (array_to_tsvector(string_to_array(search_text, ' '))) STORED;
CREATE INDEX events_by_words ON events USING gin (words);
