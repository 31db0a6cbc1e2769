-- migrate:up
ALTER TABLE orders ADD COLUMN total_text text GENERATED ALWAYS AS (printf('%.2f', total_cents / 100.0)) VIRTUAL;

-- migrate:down
ALTER TABLE orders DROP COLUMN total_text;
