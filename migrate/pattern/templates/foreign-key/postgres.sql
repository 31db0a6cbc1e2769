==== {{.Table}}_{{.Name}}_1_index
-- migrate:up
-- no-transaction
-- Without it each delete in {{.References}} reads all of {{.Table}}. Leave this file out if there is such an index.
CREATE INDEX CONCURRENTLY {{.Index}} ON {{.Table}} ({{.Name}});

-- migrate:down
-- no-transaction
DROP INDEX CONCURRENTLY {{.Index}};
==== {{.Table}}_{{.Name}}_2_foreign_key
-- migrate:up
-- For new rows, at once.
ALTER TABLE {{.Table}} ADD CONSTRAINT {{.Constraint}} FOREIGN KEY ({{.Name}}) REFERENCES {{.References}} ({{.Key}}) NOT VALID;

-- migrate:down
ALTER TABLE {{.Table}} DROP CONSTRAINT {{.Constraint}};
==== {{.Table}}_{{.Name}}_3_validate
-- migrate:up
-- For old rows, while others read and write. It fails, and changes nothing, if one refers to nothing.
ALTER TABLE {{.Table}} VALIDATE CONSTRAINT {{.Constraint}};

-- migrate:down
-- Nothing is to be undone.
