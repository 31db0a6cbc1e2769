-- migrate:up
CREATE MATERIALIZED VIEW daily_sales AS
    SELECT date_trunc('day', placed_at) AS day, sum(total) AS total FROM orders GROUP BY 1;
CREATE UNIQUE INDEX daily_sales_day ON daily_sales (day);

-- migrate:down
DROP MATERIALIZED VIEW daily_sales;
