==== add_updated_at_to_{{.Table}}
-- migrate:up
ALTER TABLE {{.Table}} ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();
CREATE FUNCTION {{.Table}}_touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
CREATE TRIGGER {{.Table}}_touch BEFORE UPDATE ON {{.Table}} FOR EACH ROW
    WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION {{.Table}}_touch();

-- migrate:down
DROP TRIGGER {{.Table}}_touch ON {{.Table}};
DROP FUNCTION {{.Table}}_touch();
ALTER TABLE {{.Table}} DROP COLUMN updated_at;
