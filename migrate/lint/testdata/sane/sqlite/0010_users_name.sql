-- migrate:up
CREATE VIEW active_users AS SELECT id, email FROM users WHERE active = 1;

-- migrate:down
DROP VIEW active_users;
