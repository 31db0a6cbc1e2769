-- One row: how far the archive has come in which log, and up to where something may be missing in it.
CREATE TABLE buffkit_archive (
	id    INTEGER PRIMARY KEY CHECK (id = 1),
	epoch BIGINT NOT NULL,
	place BIGINT NOT NULL,
	floor BIGINT NOT NULL
);

INSERT INTO buffkit_archive (id, epoch, place, floor) VALUES (1, 0, 0, 0);

CREATE TABLE buffkit_archive_events (
	position INTEGER PRIMARY KEY, -- the offset
	topic    TEXT NOT NULL,
	prev     BIGINT NOT NULL,    -- the offset before it in its topic
	mark     BLOB NOT NULL,      -- its conflation key
	body     BLOB NOT NULL
);

CREATE INDEX buffkit_archive_events_topic ON buffkit_archive_events (topic, position);
