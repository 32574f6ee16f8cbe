
-- SQLite cannot change a CHECK, and to make the tables anew would delete what refers to them, and lose
-- their triggers. So the text of their definitions is changed, which SQLite documents for constraints
-- (https://www.sqlite.org/lang_altertable.html, "Making Other Kinds Of Table Schema Changes"): no row
-- is touched, and it is undone with the transaction.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(replace(sql,
    'CHECK (price_minor BETWEEN 1 AND 99999999)', 'CHECK (price_minor >= 0)'),
    'CHECK (face_value_minor BETWEEN 1 AND 99999999)', 'CHECK (face_value_minor >= 0)')
WHERE type = 'table' AND name IN ('tickets', 'order_lines');
UPDATE sqlite_schema SET sql = replace(sql, 'CHECK (total_minor > 0)', 'CHECK (total_minor >= 0)')
WHERE type = 'table' AND name = 'orders';
UPDATE sqlite_schema SET sql = replace(sql, 'CHECK (amount_minor > 0)', 'CHECK (amount_minor >= 0)')
WHERE type = 'table' AND name = 'refund_lines';
PRAGMA writable_schema = RESET;

-- Ends the migration if a definition was not written as expected, and has every other connection read
-- the definitions anew.
CREATE TABLE amounts_are_free (definitions BIGINT NOT NULL CHECK (definitions = 5));
INSERT INTO amounts_are_free SELECT
    (SELECT COUNT(*) FROM sqlite_schema WHERE name IN ('tickets', 'order_lines')
        AND sql LIKE '%CHECK (price_minor >= 0)%')
    + (SELECT COUNT(*) FROM sqlite_schema WHERE name = 'tickets'
        AND sql LIKE '%CHECK (face_value_minor >= 0)%')
    + (SELECT COUNT(*) FROM sqlite_schema WHERE name = 'orders'
        AND sql LIKE '%CHECK (total_minor >= 0)%')
    + (SELECT COUNT(*) FROM sqlite_schema WHERE name = 'refund_lines'
        AND sql LIKE '%CHECK (amount_minor >= 0)%');
DROP TABLE amounts_are_free;
