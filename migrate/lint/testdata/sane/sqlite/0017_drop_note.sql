-- migrate:up
DROP INDEX orders_note;
-- lint:allow drop-column the app has kept notes in a table since release 4
ALTER TABLE orders DROP COLUMN note;

-- migrate:down
ALTER TABLE orders ADD COLUMN note text;
CREATE INDEX orders_note ON orders (note);
