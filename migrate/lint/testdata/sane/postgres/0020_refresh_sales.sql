-- migrate:up
REFRESH MATERIALIZED VIEW CONCURRENTLY daily_sales;

-- migrate:down
SELECT 1;
