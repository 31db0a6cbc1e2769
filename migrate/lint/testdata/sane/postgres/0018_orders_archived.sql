-- migrate:up
UPDATE orders SET state = 'archived' WHERE placed_at < '2020-01-01';

-- migrate:down
UPDATE orders SET state = 'shipped' WHERE state = 'archived';
