==== search_{{.Table}}
-- migrate:up
-- no-transaction
-- An index of an expression: no column is added, so no row is written. Queries must have the very same expression:
--   WHERE to_tsvector('{{.Language}}', {{.Text}}) @@ websearch_to_tsquery('{{.Language}}', $1)
CREATE INDEX CONCURRENTLY {{.Table}}_search ON {{.Table}} USING gin (to_tsvector('{{.Language}}', {{.Text}}));

-- migrate:down
-- no-transaction
DROP INDEX CONCURRENTLY {{.Table}}_search;
