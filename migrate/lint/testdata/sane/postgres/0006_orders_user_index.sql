-- migrate:up
-- no-transaction
CREATE INDEX CONCURRENTLY orders_user_id ON orders (user_id);

-- migrate:down
-- no-transaction
DROP INDEX CONCURRENTLY orders_user_id;
