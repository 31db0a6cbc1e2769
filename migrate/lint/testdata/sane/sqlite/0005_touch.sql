-- migrate:up
ALTER TABLE users ADD COLUMN updated_at text;
CREATE TRIGGER users_touch AFTER UPDATE ON users FOR EACH ROW WHEN NEW.updated_at IS OLD.updated_at
BEGIN
    UPDATE users SET updated_at = CURRENT_TIMESTAMP WHERE id = NEW.id;
END;

-- migrate:down
DROP TRIGGER users_touch;
ALTER TABLE users DROP COLUMN updated_at;
