-- migrate:up
CREATE SCHEMA IF NOT EXISTS audit;
CREATE TABLE audit.log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor bigint,
    change jsonb NOT NULL
);
CREATE FUNCTION audit.write(change jsonb) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = audit, pg_temp
    AS $$ INSERT INTO audit.log (change) VALUES (change) $$;
REVOKE ALL ON audit.log FROM PUBLIC;

-- migrate:down
DROP FUNCTION audit.write(jsonb);
DROP TABLE audit.log;
DROP SCHEMA audit RESTRICT;
