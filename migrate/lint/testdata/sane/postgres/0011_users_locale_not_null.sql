-- migrate:up
ALTER TABLE users VALIDATE CONSTRAINT users_locale_not_null;
SET LOCAL lock_timeout = '5s';
ALTER TABLE users ALTER COLUMN locale SET NOT NULL;
ALTER TABLE users DROP CONSTRAINT users_locale_not_null;

-- migrate:down
SET LOCAL lock_timeout = '5s';
ALTER TABLE users ALTER COLUMN locale DROP NOT NULL;
ALTER TABLE users ADD CONSTRAINT users_locale_not_null CHECK (locale IS NOT NULL) NOT VALID;
