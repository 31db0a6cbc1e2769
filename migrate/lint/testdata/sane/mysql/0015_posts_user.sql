-- migrate:up
SET SESSION lock_wait_timeout = 5;
ALTER TABLE posts ADD COLUMN user_id bigint unsigned, ALGORITHM=INSTANT;
ALTER TABLE posts ADD INDEX posts_user_id (user_id), ALGORITHM=INPLACE, LOCK=NONE;

-- migrate:down
SET SESSION lock_wait_timeout = 5;
ALTER TABLE posts DROP COLUMN user_id;
