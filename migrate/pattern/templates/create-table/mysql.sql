==== create_{{.Table}}
-- migrate:up
CREATE TABLE {{.Table}} (
    id bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
{{- range .Columns}}
    {{.Name}} {{.Type}},
{{- end}}
    created_at datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)
);

-- migrate:down
DROP TABLE {{.Table}};
