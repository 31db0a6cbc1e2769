==== create_{{.Table}}
-- migrate:up
-- A new table with a partition a month, by {{.Name}}, which is part of the key. Rows of an old table go over in batches, by a backfill.
CREATE TABLE {{.Table}} (
    id bigint GENERATED ALWAYS AS IDENTITY,
    {{.Name}} timestamptz NOT NULL,
{{- range .Rest}}
    {{.Name}} {{.Type}},
{{- end}}
    PRIMARY KEY (id, {{.Name}})
) PARTITION BY RANGE ({{.Name}});
{{- range .Months}}
CREATE TABLE {{$.Table}}_{{.Suffix}} PARTITION OF {{$.Table}} FOR VALUES FROM ('{{.From}}') TO ('{{.To}}');
{{- end}}
-- What fits nowhere; making a partition later is slow while this one has rows of it.
CREATE TABLE {{.Table}}_default PARTITION OF {{.Table}} DEFAULT;

-- migrate:down
DROP TABLE {{.Table}}; -- and its partitions
