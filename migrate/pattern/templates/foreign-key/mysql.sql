==== {{.Table}}_{{.Name}}_foreign_key
-- migrate:up
-- There is no NOT VALID here. With the checks off the table isn't copied, and nobody looks at old rows: look before, with
--   SELECT count(*) FROM {{.Table}} c LEFT JOIN {{.References}} p ON p.{{.Key}} = c.{{.Name}} WHERE c.{{.Name}} IS NOT NULL AND p.{{.Key}} IS NULL;
ALTER TABLE {{.Table}} ADD INDEX {{.Index}} ({{.Name}}), ALGORITHM=INPLACE, LOCK=NONE;
SET SESSION foreign_key_checks = 0;
ALTER TABLE {{.Table}} ADD CONSTRAINT {{.Constraint}} FOREIGN KEY ({{.Name}}) REFERENCES {{.References}} ({{.Key}}), ALGORITHM=INPLACE, LOCK=NONE;
SET SESSION foreign_key_checks = 1;

-- migrate:down
ALTER TABLE {{.Table}} DROP FOREIGN KEY {{.Constraint}}, ALGORITHM=INPLACE, LOCK=NONE;
ALTER TABLE {{.Table}} DROP INDEX {{.Index}}, ALGORITHM=INPLACE, LOCK=NONE;
