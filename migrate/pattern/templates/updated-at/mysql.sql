==== add_updated_at_to_{{.Table}}
-- migrate:up
-- It needs no trigger: the server sets it where a value of the row changes.
ALTER TABLE {{.Table}} ADD COLUMN updated_at datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6), ALGORITHM=INSTANT;

-- migrate:down
ALTER TABLE {{.Table}} DROP COLUMN updated_at, ALGORITHM=INSTANT;
