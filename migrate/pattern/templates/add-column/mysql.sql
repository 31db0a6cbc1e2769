==== add_{{.Name}}_to_{{.Table}}
-- migrate:up
-- The server refuses rather than copies the table; a table with a FULLTEXT index takes no column instantly.
{{- if .Default}}
ALTER TABLE {{.Table}} ADD COLUMN {{.Name}} {{.Type}} NOT NULL DEFAULT {{.Default}}, ALGORITHM=INSTANT;
{{- else}}
ALTER TABLE {{.Table}} ADD COLUMN {{.Name}} {{.Type}}, ALGORITHM=INSTANT;
{{- end}}

-- migrate:down
ALTER TABLE {{.Table}} DROP COLUMN {{.Name}}, ALGORITHM=INSTANT;
