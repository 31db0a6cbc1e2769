-- migrate:up
UPDATE orders SET state = 'archived' WHERE id < 1000 AND state = 'shipped';

-- migrate:down
UPDATE orders SET state = 'shipped' WHERE state = 'archived';
