-- migrate:up
SET SESSION lock_wait_timeout = 5;
SET SESSION foreign_key_checks = 0;
ALTER TABLE posts ADD CONSTRAINT posts_user_fk FOREIGN KEY (user_id) REFERENCES users (id), ALGORITHM=INPLACE, LOCK=NONE;
SET SESSION foreign_key_checks = 1;

-- migrate:down
SET SESSION lock_wait_timeout = 5;
ALTER TABLE posts DROP FOREIGN KEY posts_user_fk;
