==== rename_{{.Table}}_{{.Name}}_1_expand
-- migrate:up
-- Both columns, kept equal: the release that runs writes {{.Name}}, the next one {{.To}}.
ALTER TABLE {{.Table}} ADD COLUMN {{.To}} {{.Type}};
{{template "sync" .}}

-- migrate:down
DROP TRIGGER {{.Sync}}_i;
DROP TRIGGER {{.Sync}}_u;
DROP TRIGGER {{.Sync}}_b;
ALTER TABLE {{.Table}} DROP COLUMN {{.To}};
==== rename_{{.Table}}_{{.Name}}_2_fill
-- migrate:up
{{template "batches" .}}

-- migrate:down
-- Nothing is to be undone: both columns are there.
==== rename_{{.Table}}_{{.Name}}_3_contract when no release reads or writes {{.Name}} any more
-- migrate:up
-- Apply this when no release reads or writes {{.Name}} any more; -- requires-app: VERSION at the top tells older ones.
DROP TRIGGER {{.Sync}}_i;
DROP TRIGGER {{.Sync}}_u;
DROP TRIGGER {{.Sync}}_b;
-- lint:allow drop-column its values are in {{.To}}, and no release uses it any more
ALTER TABLE {{.Table}} DROP COLUMN {{.Name}};

-- migrate:down
ALTER TABLE {{.Table}} ADD COLUMN {{.Name}} {{.Type}};
UPDATE {{.Table}} SET {{.Name}} = {{.To}} WHERE {{.To}} IS NOT NULL;
{{template "sync" .}}
{{define "sync"}}CREATE TRIGGER {{.Sync}}_i AFTER INSERT ON {{.Table}} FOR EACH ROW WHEN NEW.{{.To}} IS NOT NEW.{{.Name}}
BEGIN
    UPDATE {{.Table}} SET {{.To}} = COALESCE(NEW.{{.To}}, NEW.{{.Name}}), {{.Name}} = COALESCE(NEW.{{.Name}}, NEW.{{.To}}) WHERE rowid = NEW.rowid;
END;
CREATE TRIGGER {{.Sync}}_u AFTER UPDATE OF {{.To}} ON {{.Table}} FOR EACH ROW WHEN NEW.{{.To}} IS NOT OLD.{{.To}} AND NEW.{{.Name}} IS NOT NEW.{{.To}}
BEGIN
    UPDATE {{.Table}} SET {{.Name}} = NEW.{{.To}} WHERE rowid = NEW.rowid;
END;
CREATE TRIGGER {{.Sync}}_b AFTER UPDATE OF {{.Name}} ON {{.Table}} FOR EACH ROW WHEN NEW.{{.To}} IS OLD.{{.To}} AND NEW.{{.Name}} IS NOT NEW.{{.To}}
BEGIN
    UPDATE {{.Table}} SET {{.To}} = NEW.{{.Name}} WHERE rowid = NEW.rowid;
END;{{end}}
