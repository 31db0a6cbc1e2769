-- migrate:up
CREATE TABLE events (
    id bigint unsigned NOT NULL AUTO_INCREMENT,
    day date NOT NULL,
    body json NOT NULL,
    PRIMARY KEY (id, day)
) PARTITION BY RANGE (YEAR(day)) (
    PARTITION p2024 VALUES LESS THAN (2025),
    PARTITION p2025 VALUES LESS THAN (2026)
);

-- migrate:down
DROP TABLE events;
