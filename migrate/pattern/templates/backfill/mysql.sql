==== fill_{{.Table}}_{{.Name}}
-- migrate:up
-- In batches of {{.Batch}} rows, by {{.Key}}, which is an integer. It may be stopped, and run again: what is filled is passed over.
DROP PROCEDURE IF EXISTS {{.Procedure}};
{{template "batches" .}}

-- migrate:down
-- Nothing is to be undone: which values were NULL isn't known any more.
