-- The session store of package sqlstore: what it promises is written there. Times are microseconds since 1970, 0 for never.

CREATE TABLE buffkit_sessions (
	id          binary(16) NOT NULL PRIMARY KEY,
	owner       blob       NOT NULL, -- the user
	generation  bigint     NOT NULL,
	rotated     bigint     NOT NULL,
	used        bigint     NOT NULL,
	created     bigint     NOT NULL,
	seen        bigint     NOT NULL,
	place       blob       NOT NULL,
	connections int        NOT NULL, -- on all nodes
	state       tinyint    NOT NULL, -- 0 live, 1 revoked, 2 revoked by a replay
	abandoned   bigint,              -- since when a live one has no connection
	revocation  bigint,              -- its number in the feed
	INDEX buffkit_sessions_abandoned (state, abandoned),
	INDEX buffkit_sessions_revocation (revocation)
) ENGINE = InnoDB;

CREATE TABLE buffkit_sessions_nodes (
	node        varbinary(255) NOT NULL PRIMARY KEY,
	alive_until bigint         NOT NULL
) ENGINE = InnoDB;

-- The connections that each node counts.
CREATE TABLE buffkit_sessions_held (
	node        varbinary(255) NOT NULL,
	session     binary(16)     NOT NULL,
	connections int            NOT NULL,
	PRIMARY KEY (node, session)
) ENGINE = InnoDB;

-- The connections of each user on all nodes, by the SHA-256 of the name: names may be long.
CREATE TABLE buffkit_sessions_users (
	owner       binary(32) NOT NULL PRIMARY KEY,
	connections bigint     NOT NULL
) ENGINE = InnoDB;

-- Row 1 is the newest revocation: who revokes holds its lock until the end of the transaction, so numbers become visible in their order.
-- Row 2 is locked by who removes the sessions that are too many.
CREATE TABLE buffkit_sessions_feed (
	id     int    NOT NULL PRIMARY KEY,
	newest bigint NOT NULL
) ENGINE = InnoDB;

INSERT INTO buffkit_sessions_feed VALUES (1, 0), (2, 0);
