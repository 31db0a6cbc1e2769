-- migrate:up
SET SESSION lock_wait_timeout = 5;
ALTER TABLE users ADD COLUMN locale varchar(10) NOT NULL DEFAULT 'en', ALGORITHM=INSTANT;

-- migrate:down
SET SESSION lock_wait_timeout = 5;
ALTER TABLE users DROP COLUMN locale, ALGORITHM=INSTANT;
