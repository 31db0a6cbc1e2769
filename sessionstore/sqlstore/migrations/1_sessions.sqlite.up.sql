-- The session store of package sqlstore: what it promises is written there. Times are microseconds since 1970, 0 for never.

CREATE TABLE buffkit_sessions (
	id          BLOB    NOT NULL PRIMARY KEY,
	owner       BLOB    NOT NULL, -- the user
	generation  INTEGER NOT NULL,
	rotated     INTEGER NOT NULL,
	used        INTEGER NOT NULL,
	created     INTEGER NOT NULL,
	seen        INTEGER NOT NULL,
	place       BLOB    NOT NULL,
	connections INTEGER NOT NULL, -- on all nodes
	state       INTEGER NOT NULL, -- 0 live, 1 revoked, 2 revoked by a replay
	abandoned   INTEGER,          -- since when a live one has no connection
	revocation  INTEGER           -- its number in the feed
) WITHOUT ROWID;

CREATE INDEX buffkit_sessions_abandoned ON buffkit_sessions (state, abandoned);
CREATE INDEX buffkit_sessions_revocation ON buffkit_sessions (revocation) WHERE revocation IS NOT NULL;

CREATE TABLE buffkit_sessions_nodes (
	node        BLOB    NOT NULL PRIMARY KEY,
	alive_until INTEGER NOT NULL
) WITHOUT ROWID;

-- The connections that each node counts.
CREATE TABLE buffkit_sessions_held (
	node        BLOB    NOT NULL,
	session     BLOB    NOT NULL,
	connections INTEGER NOT NULL,
	PRIMARY KEY (node, session)
) WITHOUT ROWID;

-- The connections of each user on all nodes, by the SHA-256 of the name: names may be long.
CREATE TABLE buffkit_sessions_users (
	owner       BLOB    NOT NULL PRIMARY KEY,
	connections INTEGER NOT NULL
) WITHOUT ROWID;

-- Row 1 is the newest revocation, row 2 is of use to databases with row locks.
CREATE TABLE buffkit_sessions_feed (
	id     INTEGER PRIMARY KEY,
	newest INTEGER NOT NULL
);

INSERT INTO buffkit_sessions_feed VALUES (1, 0), (2, 0);
