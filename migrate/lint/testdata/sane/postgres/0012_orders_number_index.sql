-- migrate:up
-- no-transaction
SET lock_timeout = 0;
CREATE UNIQUE INDEX CONCURRENTLY orders_number_key ON orders (number);

-- migrate:down
-- no-transaction
DROP INDEX CONCURRENTLY IF EXISTS orders_number_key;
