==== soft_delete_{{.Table}}_1
-- migrate:up
-- Rows are deleted by a time, and {{.Table}}_live shows the others.
ALTER TABLE {{.Table}} ADD COLUMN deleted_at timestamptz;
CREATE VIEW {{.Table}}_live AS SELECT * FROM {{.Table}} WHERE deleted_at IS NULL;

-- migrate:down
-- Rows that were deleted come back.
DROP VIEW {{.Table}}_live;
ALTER TABLE {{.Table}} DROP COLUMN deleted_at;
==== soft_delete_{{.Table}}_2_index
-- migrate:up
-- no-transaction
-- For the job that deletes them for good: only deleted rows are in it.
CREATE INDEX CONCURRENTLY {{.Table}}_deleted_at ON {{.Table}} (deleted_at) WHERE deleted_at IS NOT NULL;

-- migrate:down
-- no-transaction
DROP INDEX CONCURRENTLY {{.Table}}_deleted_at;
