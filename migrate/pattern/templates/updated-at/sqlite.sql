==== add_updated_at_to_{{.Table}}
-- migrate:up
-- SQLite adds no column with the time as its default, so a trigger sets it for new rows too.
ALTER TABLE {{.Table}} ADD COLUMN updated_at TEXT;
UPDATE {{.Table}} SET updated_at = strftime('%Y-%m-%d %H:%M:%f', 'now') WHERE updated_at IS NULL;
CREATE TRIGGER {{.Table}}_born AFTER INSERT ON {{.Table}} FOR EACH ROW WHEN NEW.updated_at IS NULL
BEGIN
    UPDATE {{.Table}} SET updated_at = strftime('%Y-%m-%d %H:%M:%f', 'now') WHERE rowid = NEW.rowid;
END;
CREATE TRIGGER {{.Table}}_touch AFTER UPDATE ON {{.Table}} FOR EACH ROW WHEN NEW.updated_at IS OLD.updated_at
BEGIN
    UPDATE {{.Table}} SET updated_at = strftime('%Y-%m-%d %H:%M:%f', 'now') WHERE rowid = NEW.rowid;
END;

-- migrate:down
DROP TRIGGER {{.Table}}_born;
DROP TRIGGER {{.Table}}_touch;
ALTER TABLE {{.Table}} DROP COLUMN updated_at;
