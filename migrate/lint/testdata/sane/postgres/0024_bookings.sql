-- migrate:up
CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE TABLE bookings (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    room_id bigint NOT NULL,
    during tstzrange NOT NULL,
    CONSTRAINT bookings_overlap EXCLUDE USING gist (room_id WITH =, during WITH &&)
);

-- migrate:down
DROP TABLE bookings;
