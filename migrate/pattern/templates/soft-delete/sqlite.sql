==== soft_delete_{{.Table}}
-- migrate:up
-- Rows are deleted by a time, and {{.Table}}_live shows the others.
ALTER TABLE {{.Table}} ADD COLUMN deleted_at TEXT;
CREATE INDEX {{.Table}}_deleted_at ON {{.Table}} (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE VIEW {{.Table}}_live AS SELECT * FROM {{.Table}} WHERE deleted_at IS NULL;

-- migrate:down
-- Rows that were deleted come back.
DROP VIEW {{.Table}}_live;
DROP INDEX {{.Table}}_deleted_at;
ALTER TABLE {{.Table}} DROP COLUMN deleted_at;
