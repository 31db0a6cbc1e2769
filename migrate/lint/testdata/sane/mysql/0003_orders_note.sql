-- migrate:up
SET SESSION lock_wait_timeout = 5;
ALTER TABLE orders ADD COLUMN note varchar(500), ALGORITHM=INSTANT;

-- migrate:down
SET SESSION lock_wait_timeout = 5;
ALTER TABLE orders DROP COLUMN note, ALGORITHM=INPLACE, LOCK=NONE;
