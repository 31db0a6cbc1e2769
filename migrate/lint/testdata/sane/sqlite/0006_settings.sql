-- migrate:up
CREATE TABLE settings (
    name text NOT NULL PRIMARY KEY,
    value text
) WITHOUT ROWID;
INSERT INTO settings (name, value) VALUES ('theme', 'dark; or "light"'), ('zoom', '1');

-- migrate:down
DROP TABLE settings;
