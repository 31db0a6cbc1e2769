-- migrate:up
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'reporting') THEN
        CREATE ROLE reporting NOLOGIN;
    END IF;
END
$$;
GRANT SELECT ON orders TO reporting;

-- migrate:down
REVOKE SELECT ON orders FROM reporting;
