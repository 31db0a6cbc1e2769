-- migrate:up
DROP INDEX users_name;
CREATE INDEX users_name_locale ON users (name, locale);

-- migrate:down
DROP INDEX users_name_locale;
CREATE INDEX users_name ON users (name);
