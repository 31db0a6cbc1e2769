==== search_{{.Table}}
-- migrate:up
-- Queries: WHERE MATCH ({{.List}}) AGAINST (? IN NATURAL LANGUAGE MODE)
-- lint:allow fulltext-index nobody writes {{.Table}} until it is built; there is no other way in place
ALTER TABLE {{.Table}} ADD FULLTEXT INDEX {{.Table}}_search ({{.List}});

-- migrate:down
ALTER TABLE {{.Table}} DROP INDEX {{.Table}}_search, ALGORITHM=INPLACE, LOCK=NONE;
