-- migrate:up
SET LOCAL lock_timeout = '5s';
ALTER TABLE orders ADD COLUMN note text NOT NULL DEFAULT '';

-- migrate:down
SET LOCAL lock_timeout = '5s';
ALTER TABLE orders DROP COLUMN note;
