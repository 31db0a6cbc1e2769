-- One row: which log it is, and how far it was when something was last deleted. The newest pack says how far it is since.
CREATE TABLE IF NOT EXISTS buffkit_log (
	id      INTEGER PRIMARY KEY CHECK (id = 1),
	format  INTEGER NOT NULL, -- of these tables
	epoch   INTEGER NOT NULL,
	head    INTEGER NOT NULL, -- the newest offset
	stored  INTEGER NOT NULL, -- bytes of all events that ever were
	dropped INTEGER NOT NULL, -- and of those that were deleted
	floor   INTEGER NOT NULL  -- the newest dropped offset of the topics that were forgotten
);

-- A pack holds events of one topic that one transaction stored, of which none of the topic lies between. Packs of different topics may
-- interleave: those of a group, which have the same base (position - back) and the same head (position + ahead), and stand together.
CREATE TABLE IF NOT EXISTS buffkit_packs (
	position INTEGER PRIMARY KEY, -- the offset of its first event
	span     INTEGER NOT NULL,    -- from there to its last event
	back     INTEGER NOT NULL,    -- and back to the offset before its group
	ahead    INTEGER NOT NULL,    -- and on to the last offset of its group
	stored   INTEGER NOT NULL,    -- bytes of all events that ever were, up to the end of its group
	count    INTEGER NOT NULL,    -- events
	bytes    INTEGER NOT NULL,    -- of their keys and bodies
	topic    TEXT NOT NULL,
	events   BLOB NOT NULL        -- see pack.go
);

-- With what retention counts, so that it reads the index alone.
CREATE INDEX IF NOT EXISTS buffkit_packs_topic ON buffkit_packs (topic, position, count, bytes);

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
