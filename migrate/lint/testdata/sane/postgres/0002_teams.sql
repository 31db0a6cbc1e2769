-- migrate:up
SET LOCAL lock_timeout = '5s';
CREATE TABLE teams (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    owner_id bigint NOT NULL REFERENCES users (id)
);
CREATE INDEX teams_owner_id ON teams (owner_id);
CREATE TABLE memberships (
    team_id bigint NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    user_id bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role text NOT NULL DEFAULT 'member' CHECK (role IN ('member', 'admin')),
    PRIMARY KEY (team_id, user_id)
);
CREATE INDEX memberships_user_id ON memberships (user_id);

-- migrate:down
DROP TABLE memberships;
DROP TABLE teams;
