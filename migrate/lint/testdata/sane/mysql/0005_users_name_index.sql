-- migrate:up
SET SESSION lock_wait_timeout = 5;
CREATE INDEX users_name ON users (name(20)) ALGORITHM=INPLACE LOCK=NONE;

-- migrate:down
SET SESSION lock_wait_timeout = 5;
DROP INDEX users_name ON users;
