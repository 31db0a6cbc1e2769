-- migrate:up
SET SESSION lock_wait_timeout = 5;
CREATE TABLE roles_new LIKE roles;
INSERT INTO roles_new (id, name) SELECT id, name FROM roles;
RENAME TABLE roles TO roles_old, roles_new TO roles;

-- migrate:down
SET SESSION lock_wait_timeout = 5;
RENAME TABLE roles TO roles_new, roles_old TO roles;
