==== add_{{.Name}}_to_{{.Table}}
-- migrate:up
{{- if .Default}}
ALTER TABLE {{.Table}} ADD COLUMN {{.Name}} {{.Type}} NOT NULL DEFAULT {{.Default}};
{{- else}}
ALTER TABLE {{.Table}} ADD COLUMN {{.Name}} {{.Type}};
{{- end}}

-- migrate:down
ALTER TABLE {{.Table}} DROP COLUMN {{.Name}};
