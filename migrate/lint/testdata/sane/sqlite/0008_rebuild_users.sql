-- migrate:up
-- no-transaction
PRAGMA foreign_keys = OFF;
BEGIN IMMEDIATE;
CREATE TABLE users_new (
    id INTEGER PRIMARY KEY,
    email text NOT NULL UNIQUE CHECK (email LIKE '%@%'),
    name text NOT NULL DEFAULT '',
    active integer NOT NULL DEFAULT 1,
    locale text NOT NULL DEFAULT 'en',
    created_at text NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at text
);
INSERT INTO users_new (id, email, name, active, locale, created_at, updated_at)
    SELECT id, email, name, active, locale, created_at, updated_at FROM users;
DROP TABLE users;
ALTER TABLE users_new RENAME TO users;
CREATE INDEX users_name ON users (name);
CREATE TRIGGER users_touch AFTER UPDATE ON users FOR EACH ROW WHEN NEW.updated_at IS OLD.updated_at
BEGIN
    UPDATE users SET updated_at = CURRENT_TIMESTAMP WHERE id = NEW.id;
END;
PRAGMA foreign_key_check;
COMMIT;
PRAGMA foreign_keys = ON;

-- migrate:down
SELECT 1;
