==== rebuild_{{.Table}}
-- migrate:up
-- The runner switches foreign keys off around this, and checks them before it commits. Indexes and triggers of the old table go with it: make
-- them again below the last statement.
{{template "swap" .Up}}

-- migrate:down
{{template "swap" .Down}}
{{define "swap"}}CREATE TABLE {{.Table}}_new (
{{- range $i, $c := .Columns}}{{if $i}},{{end}}
    {{$c.Name}} {{$c.Type}}
{{- end}}
);
INSERT INTO {{.Table}}_new ({{.Common}}) SELECT {{.Common}} FROM {{.Table}};
DROP TABLE {{.Table}};
{{- if .Lost}}
-- lint:allow sqlite-rebuild-loses {{.Lost}} goes for good
{{- end}}
ALTER TABLE {{.Table}}_new RENAME TO {{.Table}};{{end}}
