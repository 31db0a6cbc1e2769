-- migrate:up
CREATE TABLE orders (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id integer NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    total_cents integer NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'open'
) STRICT;
CREATE INDEX orders_user_id ON orders (user_id);

-- migrate:down
DROP TABLE orders;
