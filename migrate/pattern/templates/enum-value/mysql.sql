==== add_{{.Value}}_to_{{.Table}}_{{.Name}}
-- migrate:up
-- A value at the end of the list is added without a look at the rows.
ALTER TABLE {{.Table}} MODIFY COLUMN {{.Name}} enum({{.Quoted}}, '{{.Value}}') {{.Type}}, ALGORITHM=INSTANT;

-- migrate:down
-- This copies the table, and fails as long as a row has the value.
ALTER TABLE {{.Table}} MODIFY COLUMN {{.Name}} enum({{.Quoted}}) {{.Type}};
