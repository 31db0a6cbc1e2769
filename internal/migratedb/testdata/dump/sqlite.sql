CREATE TABLE users (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- the key
  email TEXT NOT NULL UNIQUE CHECK (email LIKE '%@%'),
  name TEXT DEFAULT 'it''s; me',
  upper_name TEXT GENERATED ALWAYS AS (upper(name)) STORED
);
CREATE TABLE teams (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES users (id) ON DELETE CASCADE) STRICT;
CREATE TABLE "odd ""name""" (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID;
ALTER TABLE teams RENAME TO groups;
ALTER TABLE groups ADD COLUMN title TEXT;
CREATE INDEX users_name ON users (lower(name)) WHERE name IS NOT NULL;
CREATE UNIQUE INDEX users_name2 ON users (name COLLATE NOCASE DESC, email);
CREATE VIEW b AS SELECT id FROM a;
CREATE VIEW a AS SELECT id FROM users;
CREATE VIRTUAL TABLE search USING fts5 (name, content='users', content_rowid='id');
CREATE VIRTUAL TABLE boxes USING rtree (id, x0, x1);
CREATE TRIGGER users_ai AFTER INSERT ON users BEGIN
  INSERT INTO search (rowid, name) VALUES (new.id, new.name);
  SELECT CASE WHEN new.id > 0 THEN 1 END;
END;
CREATE TRIGGER a_ii INSTEAD OF INSERT ON a BEGIN INSERT INTO users (email) VALUES ('x@y'); END;
INSERT INTO users (email) VALUES ('a@b');
ANALYZE;
