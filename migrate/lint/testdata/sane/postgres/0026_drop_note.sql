-- migrate:up
SET LOCAL lock_timeout = '5s';
-- lint:allow drop-column no release since 12 reads it
ALTER TABLE orders DROP COLUMN note;

-- migrate:down
SET LOCAL lock_timeout = '5s';
ALTER TABLE orders ADD COLUMN note text NOT NULL DEFAULT '';
