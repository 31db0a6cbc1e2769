-- The session store of package sqlstore: what it promises is written there. Times are microseconds since 1970, 0 for never.

CREATE TABLE buffkit_sessions (
	id          bytea    PRIMARY KEY,
	owner       bytea    NOT NULL, -- the user
	generation  bigint   NOT NULL,
	rotated     bigint   NOT NULL,
	used        bigint   NOT NULL,
	created     bigint   NOT NULL,
	seen        bigint   NOT NULL,
	place       bytea    NOT NULL,
	connections integer  NOT NULL, -- on all nodes
	state       smallint NOT NULL, -- 0 live, 1 revoked, 2 revoked by a replay
	abandoned   bigint,            -- since when a live one has no connection
	revocation  bigint             -- its number in the feed
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05); -- rows are small and change with each connection

CREATE INDEX buffkit_sessions_abandoned ON buffkit_sessions (state, abandoned);
CREATE INDEX buffkit_sessions_revocation ON buffkit_sessions (revocation) WHERE revocation IS NOT NULL;

CREATE TABLE buffkit_sessions_nodes (
	node        bytea  PRIMARY KEY,
	alive_until bigint NOT NULL
) WITH (fillfactor = 10);

-- The connections that each node counts.
CREATE TABLE buffkit_sessions_held (
	node        bytea   NOT NULL,
	session     bytea   NOT NULL,
	connections integer NOT NULL,
	PRIMARY KEY (node, session)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

-- The connections of each user on all nodes, by the SHA-256 of the name: names may be long.
CREATE TABLE buffkit_sessions_users (
	owner       bytea  PRIMARY KEY,
	connections bigint NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

-- Row 1 is the newest revocation: who revokes holds its lock until the end of the transaction, so numbers become visible in their order.
-- Row 2 is locked by who removes the sessions that are too many.
CREATE TABLE buffkit_sessions_feed (
	id     integer PRIMARY KEY,
	newest bigint  NOT NULL
) WITH (fillfactor = 10);

INSERT INTO buffkit_sessions_feed VALUES (1, 0), (2, 0);
