==== rename_{{.Table}}_{{.Name}}_1_expand
-- migrate:up
-- Both columns, kept equal: the release that runs writes {{.Name}}, the next one {{.To}}.
ALTER TABLE {{.Table}} ADD COLUMN {{.To}} {{.Type}};
{{template "sync" .}}

-- migrate:down
DROP TRIGGER {{.Sync}} ON {{.Table}};
DROP FUNCTION {{.Sync}}();
ALTER TABLE {{.Table}} DROP COLUMN {{.To}};
==== rename_{{.Table}}_{{.Name}}_2_fill
-- migrate:up
-- no-transaction
{{template "batches" .}}

-- migrate:down
-- Nothing is to be undone: both columns are there.
==== rename_{{.Table}}_{{.Name}}_3_contract when no release reads or writes {{.Name}} any more
-- migrate:up
-- Apply this when no release reads or writes {{.Name}} any more; -- requires-app: VERSION at the top tells older ones.
DROP TRIGGER {{.Sync}} ON {{.Table}};
DROP FUNCTION {{.Sync}}();
-- lint:allow drop-column its values are in {{.To}}, and no release uses it any more
ALTER TABLE {{.Table}} DROP COLUMN {{.Name}};

-- migrate:down
ALTER TABLE {{.Table}} ADD COLUMN {{.Name}} {{.Type}};
UPDATE {{.Table}} SET {{.Name}} = {{.To}} WHERE {{.To}} IS NOT NULL;
{{template "sync" .}}
{{define "sync"}}CREATE FUNCTION {{.Sync}}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.{{.To}} := COALESCE(NEW.{{.To}}, NEW.{{.Name}});
        NEW.{{.Name}} := COALESCE(NEW.{{.Name}}, NEW.{{.To}});
    ELSIF NEW.{{.To}} IS DISTINCT FROM OLD.{{.To}} THEN
        NEW.{{.Name}} := NEW.{{.To}};
    ELSIF NEW.{{.Name}} IS DISTINCT FROM OLD.{{.Name}} THEN
        NEW.{{.To}} := NEW.{{.Name}};
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER {{.Sync}} BEFORE INSERT OR UPDATE ON {{.Table}} FOR EACH ROW EXECUTE FUNCTION {{.Sync}}();{{end}}
