-- migrate:up
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- UPDATE users SET everything = NULL
    NEW.updated_at := now();
    RETURN NEW;
END;
$$;
CREATE TABLE documents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    body text NOT NULL,
    search tsvector GENERATED ALWAYS AS (to_tsvector('english', body)) STORED,
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX documents_search ON documents USING gin (search);
CREATE TRIGGER documents_touch BEFORE UPDATE ON documents FOR EACH ROW EXECUTE FUNCTION touch();

-- migrate:down
DROP TABLE documents;
DROP FUNCTION touch();
