-- migrate:up
SET SESSION lock_wait_timeout = 5;
ALTER TABLE users MODIFY `name` varchar(250) NOT NULL DEFAULT '', ALGORITHM=INPLACE, LOCK=NONE;

-- migrate:down
SET SESSION lock_wait_timeout = 5;
ALTER TABLE users MODIFY `name` varchar(200) NOT NULL DEFAULT '';
