-- migrate:up
CREATE TABLE events_2025 (LIKE events INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
SET LOCAL lock_timeout = '5s';
ALTER TABLE events ATTACH PARTITION events_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');

-- migrate:down
SET LOCAL lock_timeout = '5s';
DROP TABLE events_2025;
