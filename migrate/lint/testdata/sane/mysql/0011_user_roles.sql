-- migrate:up
SET SESSION lock_wait_timeout = 5;

CREATE TABLE user_roles (
    user_id bigint unsigned NOT NULL,
    role_id smallint unsigned NOT NULL,
    PRIMARY KEY (user_id, role_id),
    CONSTRAINT user_roles_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT user_roles_role FOREIGN KEY (role_id) REFERENCES roles (id)
);

-- migrate:down
DROP TABLE user_roles;
