==== search_{{.Table}}
-- migrate:up
-- Queries: SELECT {{.Table}}.* FROM {{.Table}}_search JOIN {{.Table}} ON {{.Table}}.{{.Key}} = {{.Table}}_search.rowid WHERE {{.Table}}_search MATCH ?
CREATE VIRTUAL TABLE {{.Table}}_search USING fts5 ({{.List}}, content='{{.Table}}', content_rowid='{{.Key}}');
INSERT INTO {{.Table}}_search ({{.Table}}_search) VALUES ('rebuild');
CREATE TRIGGER {{.Table}}_search_i AFTER INSERT ON {{.Table}} FOR EACH ROW
BEGIN
    INSERT INTO {{.Table}}_search (rowid, {{.List}}) VALUES (NEW.{{.Key}}, {{.News}});
END;
CREATE TRIGGER {{.Table}}_search_d AFTER DELETE ON {{.Table}} FOR EACH ROW
BEGIN
    INSERT INTO {{.Table}}_search ({{.Table}}_search, rowid, {{.List}}) VALUES ('delete', OLD.{{.Key}}, {{.Olds}});
END;
CREATE TRIGGER {{.Table}}_search_u AFTER UPDATE ON {{.Table}} FOR EACH ROW
BEGIN
    INSERT INTO {{.Table}}_search ({{.Table}}_search, rowid, {{.List}}) VALUES ('delete', OLD.{{.Key}}, {{.Olds}});
    INSERT INTO {{.Table}}_search (rowid, {{.List}}) VALUES (NEW.{{.Key}}, {{.News}});
END;

-- migrate:down
DROP TRIGGER {{.Table}}_search_i;
DROP TRIGGER {{.Table}}_search_d;
DROP TRIGGER {{.Table}}_search_u;
DROP TABLE {{.Table}}_search;
