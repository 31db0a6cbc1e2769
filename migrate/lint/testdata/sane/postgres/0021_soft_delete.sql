-- migrate:up
SET LOCAL lock_timeout = '5s';
ALTER TABLE documents ADD COLUMN deleted_at timestamptz;
CREATE VIEW live_documents AS SELECT * FROM documents WHERE deleted_at IS NULL;

-- migrate:down
DROP VIEW live_documents;
SET LOCAL lock_timeout = '5s';
ALTER TABLE documents DROP COLUMN deleted_at;
