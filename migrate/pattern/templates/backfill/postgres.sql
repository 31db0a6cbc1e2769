==== fill_{{.Table}}_{{.Name}}
-- migrate:up
-- no-transaction
-- In batches of {{.Batch}} rows. It may be stopped, and run again: what is filled is passed over.
{{template "batches" .}}

-- migrate:down
-- Nothing is to be undone: which values were NULL isn't known any more.
