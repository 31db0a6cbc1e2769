-- migrate:up
CREATE PROCEDURE order_count(IN u bigint unsigned)
BEGIN
    DECLARE n int DEFAULT 0;
    SELECT count(*) INTO n FROM orders WHERE user_id = u;
    IF n = 0 THEN
        DELETE FROM user_roles WHERE user_id = u;
    END IF;
END;

-- migrate:down
DROP PROCEDURE order_count;
