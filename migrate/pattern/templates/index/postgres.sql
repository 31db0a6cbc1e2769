==== index_{{.Table}}_{{.Joined}}
-- migrate:up
-- no-transaction
-- Others read and write meanwhile. If it is stopped half-way the next run drops the invalid index and builds it again.
CREATE {{if .Unique}}UNIQUE {{end}}INDEX CONCURRENTLY {{.Index}} ON {{.Table}} ({{.List}});

-- migrate:down
-- no-transaction
DROP INDEX CONCURRENTLY {{.Index}};
