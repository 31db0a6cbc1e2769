-- migrate:up
DELIMITER //
CREATE TRIGGER orders_touch BEFORE UPDATE ON orders FOR EACH ROW
BEGIN
    SET NEW.note = COALESCE(NEW.note, '');
END//
DELIMITER ;

-- migrate:down
DROP TRIGGER orders_touch;
