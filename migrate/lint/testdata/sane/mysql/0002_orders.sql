-- migrate:up
SET SESSION lock_wait_timeout = 5;

CREATE TABLE orders (
    id bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
    user_id bigint unsigned NOT NULL,
    total decimal(12, 2) NOT NULL DEFAULT 0,
    state enum('open', 'paid', 'shipped') NOT NULL DEFAULT 'open',
    body json,
    CONSTRAINT orders_user_fk FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT orders_total CHECK (total >= 0)
);

-- migrate:down
DROP TABLE orders;
