==== create_{{.Table}}
-- migrate:up
CREATE TABLE {{.Table}} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
{{- range .Columns}}
    {{.Name}} {{.Type}},
{{- end}}
    created_at timestamptz NOT NULL DEFAULT now()
);

-- migrate:down
DROP TABLE {{.Table}};
