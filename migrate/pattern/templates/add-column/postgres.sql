==== add_{{.Name}}_to_{{.Table}}
-- migrate:up
{{- if .Default}}
-- A constant default is kept in the catalog: no row is written.
ALTER TABLE {{.Table}} ADD COLUMN {{.Name}} {{.Type}} NOT NULL DEFAULT {{.Default}};
{{- else}}
-- It may be NULL, so that no row is written and the release that still runs needn't know it.
ALTER TABLE {{.Table}} ADD COLUMN {{.Name}} {{.Type}};
{{- end}}

-- migrate:down
ALTER TABLE {{.Table}} DROP COLUMN {{.Name}};
