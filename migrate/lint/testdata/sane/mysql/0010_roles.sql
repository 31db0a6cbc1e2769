-- migrate:up
CREATE TABLE roles (
    id smallint unsigned NOT NULL,
    name varchar(50) NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY roles_name (name)
);
INSERT INTO roles (id, name) VALUES (1, 'admin'), (2, 'it''s; a "guest"');

-- migrate:down
DROP TABLE roles;
