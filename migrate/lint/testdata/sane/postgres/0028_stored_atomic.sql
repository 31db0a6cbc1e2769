-- migrate:up
CREATE FUNCTION order_count(u bigint) RETURNS bigint LANGUAGE sql BEGIN ATOMIC
    SELECT count(*) FROM orders WHERE user_id = u;
END;

-- migrate:down
DROP FUNCTION order_count(bigint);
