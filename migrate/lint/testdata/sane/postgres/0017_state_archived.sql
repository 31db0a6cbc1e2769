-- migrate:up
ALTER TYPE order_state ADD VALUE IF NOT EXISTS 'archived' AFTER 'shipped';

-- migrate:down
SELECT 1; -- a value of an enum can't be dropped
