==== index_{{.Table}}_{{.Joined}}
-- migrate:up
-- SQLite has no concurrent build: others can read meanwhile, and write afterwards.
CREATE {{if .Unique}}UNIQUE {{end}}INDEX {{.Index}} ON {{.Table}} ({{.List}});

-- migrate:down
DROP INDEX {{.Index}};
