==== create_{{.Table}}
-- migrate:up
CREATE TABLE {{.Table}} (
    id INTEGER PRIMARY KEY,
{{- range .Columns}}
    {{.Name}} {{.Type}},
{{- end}}
    created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);

-- migrate:down
DROP TABLE {{.Table}};
