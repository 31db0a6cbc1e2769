-- migrate:up
SET LOCAL lock_timeout = '5s';
ALTER TABLE users ADD CONSTRAINT users_locale_not_null CHECK (locale IS NOT NULL) NOT VALID;

-- migrate:down
SET LOCAL lock_timeout = '5s';
ALTER TABLE users DROP CONSTRAINT users_locale_not_null;
