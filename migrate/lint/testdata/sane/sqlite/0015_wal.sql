-- migrate:up
-- no-transaction
PRAGMA journal_mode = WAL;
PRAGMA user_version = 15;

-- migrate:down
SELECT 1;
