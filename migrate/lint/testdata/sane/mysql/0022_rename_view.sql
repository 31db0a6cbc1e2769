-- migrate:up
SET SESSION lock_wait_timeout = 5;
RENAME TABLE posts TO articles;
CREATE VIEW posts AS SELECT * FROM articles;

-- migrate:down
SET SESSION lock_wait_timeout = 5;
DROP VIEW posts;
RENAME TABLE articles TO posts;
