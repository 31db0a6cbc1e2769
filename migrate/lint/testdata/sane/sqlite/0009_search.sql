-- migrate:up
CREATE VIRTUAL TABLE notes USING fts5(title, body);
INSERT INTO notes (title, body) SELECT name, email FROM users WHERE active = 1;

-- migrate:down
DROP TABLE notes;
