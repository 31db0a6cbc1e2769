==== soft_delete_{{.Table}}_1
-- migrate:up
-- Rows are deleted by a time, and {{.Table}}_live shows the others.
ALTER TABLE {{.Table}} ADD COLUMN deleted_at datetime(6), ALGORITHM=INSTANT;
CREATE VIEW {{.Table}}_live AS SELECT * FROM {{.Table}} WHERE deleted_at IS NULL;

-- migrate:down
-- Rows that were deleted come back.
DROP VIEW {{.Table}}_live;
ALTER TABLE {{.Table}} DROP COLUMN deleted_at, ALGORITHM=INSTANT;
==== soft_delete_{{.Table}}_2_index
-- migrate:up
ALTER TABLE {{.Table}} ADD INDEX {{.Table}}_deleted_at (deleted_at), ALGORITHM=INPLACE, LOCK=NONE;

-- migrate:down
ALTER TABLE {{.Table}} DROP INDEX {{.Table}}_deleted_at, ALGORITHM=INPLACE, LOCK=NONE;
