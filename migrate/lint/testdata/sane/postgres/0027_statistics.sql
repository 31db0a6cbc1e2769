-- migrate:up
ALTER TABLE events_2024 ALTER COLUMN body SET STATISTICS 500;
CREATE STATISTICS orders_stats ON state, currency FROM orders;
ANALYZE orders;

-- migrate:down
DROP STATISTICS orders_stats;
