==== create_{{.Table}}
-- migrate:up
-- A new table with a partition a month, by {{.Name}}, which is part of the key. Rows of an old table go over in batches, by a backfill.
CREATE TABLE {{.Table}} (
    id bigint unsigned NOT NULL AUTO_INCREMENT,
    {{.Name}} datetime(6) NOT NULL,
{{- range .Rest}}
    {{.Name}} {{.Type}},
{{- end}}
    PRIMARY KEY (id, {{.Name}})
) PARTITION BY RANGE COLUMNS ({{.Name}}) (
{{- range .Months}}
    PARTITION p{{.Suffix}} VALUES LESS THAN ('{{.To}}'),
{{- end}}
    PARTITION pmax VALUES LESS THAN (MAXVALUE)
);

-- migrate:down
DROP TABLE {{.Table}};
