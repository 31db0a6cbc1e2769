-- migrate:up
CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    email text NOT NULL UNIQUE,
    name text NOT NULL DEFAULT '',
    active integer NOT NULL DEFAULT 1 CHECK (active IN (0, 1)),
    created_at text NOT NULL DEFAULT CURRENT_TIMESTAMP
);

-- migrate:down
DROP TABLE users;
