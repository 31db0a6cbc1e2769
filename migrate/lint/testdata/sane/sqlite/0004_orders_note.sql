-- migrate:up
ALTER TABLE orders ADD COLUMN note text;
CREATE INDEX orders_note ON orders (note) WHERE note IS NOT NULL;

-- migrate:down
DROP INDEX orders_note;
ALTER TABLE orders DROP COLUMN note;
