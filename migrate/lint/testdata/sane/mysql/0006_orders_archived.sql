-- migrate:up
SET SESSION lock_wait_timeout = 5;
ALTER TABLE orders MODIFY state enum('open', 'paid', 'shipped', 'archived') NOT NULL DEFAULT 'open', ALGORITHM=INSTANT;

-- migrate:down
SELECT 1;
