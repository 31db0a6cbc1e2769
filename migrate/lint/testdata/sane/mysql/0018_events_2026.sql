-- migrate:up
SET SESSION lock_wait_timeout = 5;
ALTER TABLE events ADD PARTITION (PARTITION p2026 VALUES LESS THAN (2027));

-- migrate:down
SELECT 1;
