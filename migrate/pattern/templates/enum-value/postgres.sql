==== add_{{.Value}}_to_{{.EnumType}}
-- migrate:up
ALTER TYPE {{.EnumType}} ADD VALUE '{{.Value}}';

-- migrate:down
-- PostgreSQL takes no value away: a new type takes the old one's place, and the table is written anew. It fails as long as a row has the value.
-- A default of the column must be dropped before, and set again behind it.
ALTER TYPE {{.EnumType}} RENAME TO {{.EnumType}}_old;
CREATE TYPE {{.EnumType}} AS ENUM ({{.Quoted}});
ALTER TABLE {{.Table}} ALTER COLUMN {{.Name}} TYPE {{.EnumType}} USING {{.Name}}::text::{{.EnumType}};
DROP TYPE {{.EnumType}}_old;
