==== rename_{{.Table}}_{{.Name}}_1_expand
-- migrate:up
-- Both columns, kept equal: the release that runs writes {{.Name}}, the next one {{.To}}. If {{.Name}} is NOT NULL give it a default first,
-- since a row without it is refused before the trigger runs.
ALTER TABLE {{.Table}} ADD COLUMN {{.To}} {{.Type}}, ALGORITHM=INSTANT;
{{template "sync" .}}

-- migrate:down
DROP TRIGGER {{.Sync}}_i;
DROP TRIGGER {{.Sync}}_u;
ALTER TABLE {{.Table}} DROP COLUMN {{.To}}, ALGORITHM=INSTANT;
==== rename_{{.Table}}_{{.Name}}_2_fill
-- migrate:up
DROP PROCEDURE IF EXISTS {{.Procedure}};
{{template "batches" .}}

-- migrate:down
-- Nothing is to be undone: both columns are there.
==== rename_{{.Table}}_{{.Name}}_3_contract when no release reads or writes {{.Name}} any more
-- migrate:up
-- Apply this when no release reads or writes {{.Name}} any more; -- requires-app: VERSION at the top tells older ones.
DROP TRIGGER {{.Sync}}_i;
DROP TRIGGER {{.Sync}}_u;
-- lint:allow drop-column its values are in {{.To}}, and no release uses it any more
ALTER TABLE {{.Table}} DROP COLUMN {{.Name}}, ALGORITHM=INSTANT;

-- migrate:down
ALTER TABLE {{.Table}} ADD COLUMN {{.Name}} {{.Type}}, ALGORITHM=INSTANT;
{{template "sync" .}}
UPDATE {{.Table}} SET {{.Name}} = {{.To}} WHERE {{.To}} IS NOT NULL;
{{define "sync"}}CREATE TRIGGER {{.Sync}}_i BEFORE INSERT ON {{.Table}} FOR EACH ROW
    SET NEW.{{.To}} = COALESCE(NEW.{{.To}}, NEW.{{.Name}}), NEW.{{.Name}} = COALESCE(NEW.{{.Name}}, NEW.{{.To}});
CREATE TRIGGER {{.Sync}}_u BEFORE UPDATE ON {{.Table}} FOR EACH ROW
BEGIN
    IF NOT NEW.{{.To}} <=> OLD.{{.To}} THEN
        SET NEW.{{.Name}} = NEW.{{.To}};
    ELSEIF NOT NEW.{{.Name}} <=> OLD.{{.Name}} THEN
        SET NEW.{{.To}} = NEW.{{.Name}};
    END IF;
END;{{end}}
