-- migrate:up
-- no-transaction
UPDATE users SET locale = 'en' WHERE locale IS NULL AND id <= 100000;
UPDATE users SET locale = 'en' WHERE locale IS NULL AND id > 100000;

-- migrate:down
SELECT 1;
