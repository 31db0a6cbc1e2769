-- migrate:up
SET LOCAL lock_timeout = '5s';
ALTER TABLE users ADD COLUMN locale text;
ALTER TABLE users ALTER COLUMN locale SET DEFAULT 'en';

-- migrate:down
SET LOCAL lock_timeout = '5s';
ALTER TABLE users DROP COLUMN locale;
