-- One row: which log it is, and how far it is.
CREATE TABLE IF NOT EXISTS buffkit_log (
	id     INTEGER PRIMARY KEY CHECK (id = 1),
	format INTEGER NOT NULL, -- of these tables
	epoch  INTEGER NOT NULL,
	head   INTEGER NOT NULL, -- the newest offset
	bytes  INTEGER NOT NULL, -- of all events
	floor  INTEGER NOT NULL  -- the newest dropped offset of the topics that were forgotten
);

CREATE TABLE IF NOT EXISTS buffkit_events (
	position INTEGER PRIMARY KEY, -- the offset
	topic    TEXT NOT NULL,
	chain    INTEGER NOT NULL,    -- the offset before it
	prev     INTEGER NOT NULL,    -- and the one before it in its topic
	size     INTEGER NOT NULL,    -- bytes of key and body
	key      TEXT NOT NULL,
	body     BLOB NOT NULL
);

-- With the size, so that retention reads the index alone.
CREATE INDEX IF NOT EXISTS buffkit_events_topic ON buffkit_events (topic, position, size);

-- The newest offset of a topic that retention has dropped. A topic that lost nothing isn't here, nor one that was forgotten.
CREATE TABLE IF NOT EXISTS buffkit_trimmed (
	topic    TEXT PRIMARY KEY,
	position INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS buffkit_keys (
	topic    TEXT NOT NULL,
	key      TEXT NOT NULL,
	position INTEGER NOT NULL, -- of the event that was stored with it
	at       INTEGER NOT NULL, -- microseconds since 1970
	PRIMARY KEY (topic, key)
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS buffkit_keys_at ON buffkit_keys (at);
