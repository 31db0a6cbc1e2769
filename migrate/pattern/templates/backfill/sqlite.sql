==== fill_{{.Table}}_{{.Name}}
-- migrate:up
-- In one statement: SQLite has one writer at a time and nothing to loop with. If others must write in between, write a migration in Go
-- with NoTransaction that does it in batches.
{{template "batches" .}}

-- migrate:down
-- Nothing is to be undone: which values were NULL isn't known any more.
