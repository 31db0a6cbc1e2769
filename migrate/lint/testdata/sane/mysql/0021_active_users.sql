-- migrate:up
CREATE OR REPLACE ALGORITHM=MERGE DEFINER=CURRENT_USER SQL SECURITY INVOKER VIEW active_users AS SELECT id, email FROM users WHERE active = 1;

-- migrate:down
DROP VIEW active_users;
