-- migrate:up
CREATE TABLE roles (
    name text PRIMARY KEY,
    description text
);
INSERT INTO roles (name, description) VALUES
    ('admin', 'may do all; BEGIN; COMMIT;'),
    ('guest', NULL)
ON CONFLICT (name) DO NOTHING;

-- migrate:down
DROP TABLE roles;
