-- migrate:up
SET SESSION lock_wait_timeout = 5;
ALTER TABLE orders ADD INDEX orders_state (state), ALGORITHM=INPLACE, LOCK=NONE;

-- migrate:down
SET SESSION lock_wait_timeout = 5;
ALTER TABLE orders DROP INDEX orders_state;
