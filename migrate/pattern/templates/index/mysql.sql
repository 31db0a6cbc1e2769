==== index_{{.Table}}_{{.Joined}}
-- migrate:up
-- Others read and write meanwhile; where that isn't possible the server refuses.
ALTER TABLE {{.Table}} ADD {{if .Unique}}UNIQUE {{end}}INDEX {{.Index}} ({{.List}}), ALGORITHM=INPLACE, LOCK=NONE;

-- migrate:down
ALTER TABLE {{.Table}} DROP INDEX {{.Index}}, ALGORITHM=INPLACE, LOCK=NONE;
