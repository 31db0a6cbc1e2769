-- migrate:up
SET LOCAL lock_timeout = '5s';
ALTER TABLE orders ADD CONSTRAINT orders_number_unique UNIQUE USING INDEX orders_number_key;

-- migrate:down
SET LOCAL lock_timeout = '5s';
ALTER TABLE orders DROP CONSTRAINT orders_number_unique;
