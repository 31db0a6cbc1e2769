-- The log of package pglog: what it promises is written there.

-- One row for each partition. Who appends holds its lock until the end of the transaction, so offsets become visible in their order.
CREATE TABLE buffkit_log (
	partition integer PRIMARY KEY,
	epoch     bigint NOT NULL,
	head      bigint NOT NULL -- the newest offset
) WITH (fillfactor = 10); -- room for new versions of the row beside the old ones, without a change to the index

CREATE FUNCTION buffkit_log_epoch() RETURNS bigint LANGUAGE sql AS $$
	SELECT greatest(1, ('x' || left(replace(gen_random_uuid()::text, '-', ''), 10))::bit(40)::bigint)
$$;

-- The clock of offsets: microseconds since 1970.
CREATE FUNCTION buffkit_log_clock() RETURNS bigint LANGUAGE sql VOLATILE AS $$
	SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
$$;

INSERT INTO buffkit_log VALUES (0, buffkit_log_epoch(), 0);

CREATE TABLE buffkit_log_events (
	"offset" bigint  PRIMARY KEY,
	topic    text    COLLATE "C" NOT NULL,
	key      bytea   NOT NULL,
	prev     bigint  NOT NULL, -- the offset before it in its topic
	chain    bigint  NOT NULL, -- and in its partition
	size     integer NOT NULL, -- of body and key
	body     bytea   NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

CREATE INDEX buffkit_log_events_topic ON buffkit_log_events (topic, "offset") INCLUDE (size);

-- How far a topic was trimmed, for the time when nothing of it is left. The topic '', which no event can have, stands for those forgotten here.
CREATE TABLE buffkit_log_topics (
	topic   text   COLLATE "C" PRIMARY KEY,
	trimmed bigint NOT NULL
) WITH (fillfactor = 70);

-- Idempotency keys, and the offset that each got.
CREATE TABLE buffkit_log_keys (
	topic    text   COLLATE "C",
	key      bytea,
	"offset" bigint NOT NULL,
	PRIMARY KEY (topic, key)
) WITH (autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX buffkit_log_keys_offset ON buffkit_log_keys ("offset");

-- What a topic's next event names as the one before it.
CREATE FUNCTION buffkit_log_last(name text) RETURNS bigint LANGUAGE sql STABLE AS $$
	SELECT coalesce(
		(SELECT max(e."offset") FROM buffkit_log_events e WHERE e.topic = name),
		(SELECT t.trimmed FROM buffkit_log_topics t WHERE t.topic IN (name, '') ORDER BY t.topic DESC LIMIT 1),
		0)
$$;

-- Stores events without idempotency keys in their order: the first is behind chain, the last at head. names are their topics, each once. before has
-- for each event the number of the one before it in its topic, counted from 1, or if that is none of these the topic's in names, as a negative number.
-- known has what the caller takes for the newest offset of each of the topics, or 0, as it was when the log's head was at. If others have stored events
-- since, theirs are looked for; if the log has lost the event at that place, nothing is taken for known.
CREATE FUNCTION buffkit_log_append(topics text[], keys bytea[], bodies bytea[], before bigint[], names text[], known bigint[], at bigint,
	OUT epoch bigint, OUT first bigint, OUT chain bigint, OUT prevs bigint[])
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
#variable_conflict use_variable
BEGIN
	-- A statement of its own: the next one's snapshot is taken when the lock is held, and sees all that others have committed.
	SELECT l.epoch, l.head INTO STRICT epoch, chain FROM buffkit_log l WHERE l.partition = 0 FOR UPDATE;
	first := greatest(chain + 1, buffkit_log_clock());
	UPDATE buffkit_log l SET head = first + cardinality(topics) - 1 WHERE l.partition = 0;
	prevs := known;
	IF chain <> at AND EXISTS (SELECT FROM buffkit_log_events e WHERE e."offset" = at) THEN
		SELECT array_agg(greatest(g.known, m.newest, (SELECT t.trimmed FROM buffkit_log_topics t WHERE t.topic = g.name AND t.trimmed > at)) ORDER BY g.n)
		INTO prevs FROM unnest(names, known) WITH ORDINALITY AS g (name, known, n)
		LEFT JOIN (SELECT e.topic, max(e."offset") AS newest FROM buffkit_log_events e WHERE e."offset" > at GROUP BY e.topic) m ON m.topic = g.name;
	ELSIF chain <> at THEN
		prevs := NULL;
	END IF;
	IF prevs IS NULL OR 0 = ANY (prevs) THEN
		SELECT array_agg(CASE WHEN g.prev > 0 THEN g.prev ELSE coalesce( -- buffkit_log_last, without the call
			(SELECT max(e."offset") FROM buffkit_log_events e WHERE e.topic = g.name),
			(SELECT t.trimmed FROM buffkit_log_topics t WHERE t.topic IN (g.name, '') ORDER BY t.topic DESC LIMIT 1),
			0) END ORDER BY g.n) INTO prevs FROM unnest(names, prevs) WITH ORDINALITY AS g (name, prev, n);
	END IF;
	INSERT INTO buffkit_log_events ("offset", topic, key, prev, chain, size, body)
	SELECT first + g.n - 1, g.topic, g.key,
		CASE WHEN g.b > 0 THEN first + g.b - 1 ELSE prevs[-g.b] END,
		CASE WHEN g.n > 1 THEN first + g.n - 2 ELSE chain END,
		octet_length(g.key) + octet_length(g.body), g.body
	FROM unnest(topics, keys, bodies, before) WITH ORDINALITY AS g (topic, key, body, b, n);
	PERFORM pg_notify('buffkit_log_' || 'buffkit_log'::regclass::oid, '');
END
$$;

-- Stores events that may have idempotency keys, in their order, and tells what became of each. A NULL in idems: no key. period is how long keys
-- count, in microseconds.
CREATE FUNCTION buffkit_log_append_once(topics text[], keys bytea[], bodies bytea[], idems bytea[], period bigint)
RETURNS TABLE (epoch bigint, "offset" bigint, prev bigint, chain bigint, repeated boolean)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
	log_epoch bigint;
	last      bigint;
	clock     bigint;
BEGIN
	SELECT l.epoch, l.head INTO STRICT log_epoch, last FROM buffkit_log l WHERE l.partition = 0 FOR UPDATE;
	clock := buffkit_log_clock();
	RETURN QUERY
	WITH given AS MATERIALIZED (
		SELECT g.n, g.topic, g.key, g.body, g.idem, k."offset" AS known,
			CASE WHEN g.idem IS NULL THEN g.n ELSE min(g.n) OVER (PARTITION BY g.topic, g.idem) END AS first
		FROM unnest(topics, keys, bodies, idems) WITH ORDINALITY AS g (topic, key, body, idem, n)
		LEFT JOIN buffkit_log_keys k ON k.topic = g.topic AND k.key = g.idem AND k."offset" >= clock - period
	), fresh AS MATERIALIZED (
		SELECT n, topic, key, body, idem, greatest(last + 1, clock) + row_number() OVER (ORDER BY n) - 1 AS place
		FROM given WHERE known IS NULL AND first = n
	), stored AS (
		INSERT INTO buffkit_log_events AS e ("offset", topic, key, prev, chain, size, body)
		SELECT f.place, f.topic, f.key,
			coalesce(lag(f.place) OVER (PARTITION BY f.topic ORDER BY f.n), buffkit_log_last(f.topic)),
			coalesce(lag(f.place) OVER (ORDER BY f.n), last),
			octet_length(f.key) + octet_length(f.body),
			f.body
		FROM fresh f
		RETURNING e."offset", e.prev, e.chain
	), remembered AS (
		INSERT INTO buffkit_log_keys AS k (topic, key, "offset")
		SELECT f.topic, f.idem, f.place FROM fresh f WHERE f.idem IS NOT NULL
		ON CONFLICT (topic, key) DO UPDATE SET "offset" = excluded."offset"
	), moved AS (
		UPDATE buffkit_log l SET head = (SELECT max(place) FROM fresh) WHERE l.partition = 0 AND EXISTS (SELECT FROM fresh)
	)
	SELECT log_epoch, coalesce(g.known, f.place), coalesce(s.prev, 0), coalesce(s.chain, 0), g.known IS NOT NULL OR g.first < g.n
	FROM given g
	LEFT JOIN fresh f ON f.n = g.first
	LEFT JOIN stored s ON s."offset" = f.place AND g.first = g.n
	ORDER BY g.n;
	PERFORM pg_notify('buffkit_log_' || 'buffkit_log'::regclass::oid, '');
END
$$;

-- The events of transactions that are still open. Each sees its own alone, and takes them out before it ends, so nothing of it is worth a log entry.
CREATE UNLOGGED TABLE buffkit_log_pending (
	xact     xid8    NOT NULL DEFAULT pg_current_xact_id(),
	n        bigint  GENERATED ALWAYS AS IDENTITY (CACHE 50),
	leads    boolean NOT NULL, -- whether it is the first of its call
	period   bigint  NOT NULL,
	topic    text    NOT NULL,
	key      bytea   NOT NULL,
	idem     bytea,
	body     bytea   NOT NULL,
	PRIMARY KEY (xact, n)
) WITH (autovacuum_vacuum_scale_factor = 0.02);

CREATE FUNCTION buffkit_log_commit() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
	mine record;
BEGIN
	WITH taken AS (
		DELETE FROM buffkit_log_pending WHERE xact = pg_current_xact_id() RETURNING *
	)
	SELECT array_agg(topic ORDER BY n) AS topics, array_agg(key ORDER BY n) AS keys, array_agg(body ORDER BY n) AS bodies,
		array_agg(idem ORDER BY n) AS idems, max(period) AS period
	INTO mine FROM taken;
	IF mine.topics IS NOT NULL THEN -- another call of this transaction was here before
		PERFORM buffkit_log_append_once(mine.topics, mine.keys, mine.bodies, mine.idems, mine.period);
	END IF;
	RETURN NULL;
END
$$;

-- It runs when the transaction commits: the lock isn't held while the app does something else.
CREATE CONSTRAINT TRIGGER buffkit_log_commit AFTER INSERT ON buffkit_log_pending
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.leads) EXECUTE FUNCTION buffkit_log_commit();

-- Also where session_replication_role keeps other triggers from firing: else the events would stay here for ever.
ALTER TABLE buffkit_log_pending ENABLE ALWAYS TRIGGER buffkit_log_commit;

-- The newest offset of a topic that is over a limit, or 0. NULL is no limit; ages are microseconds. The newest event is dropped by age alone.
CREATE FUNCTION buffkit_log_bound(name text, max_count bigint, max_bytes bigint, max_age bigint) RETURNS bigint
LANGUAGE sql VOLATILE SET search_path FROM CURRENT AS $$
	SELECT greatest(
		CASE WHEN max_count IS NOT NULL THEN
			(SELECT e."offset" FROM buffkit_log_events e WHERE e.topic = name ORDER BY e."offset" DESC OFFSET max_count LIMIT 1)
		END,
		CASE WHEN max_bytes IS NOT NULL THEN
			(SELECT s."offset" FROM (
				SELECT e."offset", sum(e.size) OVER newest AS total, row_number() OVER newest AS nth
				FROM buffkit_log_events e WHERE e.topic = name WINDOW newest AS (ORDER BY e."offset" DESC)
			) s WHERE s.total > max_bytes AND s.nth > 1 ORDER BY s."offset" DESC LIMIT 1)
		END,
		CASE WHEN max_age IS NOT NULL THEN
			(SELECT max(e."offset") FROM buffkit_log_events e WHERE e.topic = name AND e."offset" < (SELECT buffkit_log_clock() - max_age))
		END,
		0)
$$;

-- Drops what the topics have over their limits and nodes may not be reading any more (of the last tail microseconds nothing), at most max_rows events, and returns how many it dropped. Returns -1 if another node is at it.
CREATE FUNCTION buffkit_log_trim(topics text[], counts bigint[], bytes bigint[], ages bigint[], max_rows bigint, tail bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
	dropped bigint;
	clock   bigint := buffkit_log_clock();
BEGIN
	IF NOT pg_try_advisory_xact_lock('buffkit_log_topics'::regclass::oid::bigint) THEN
		RETURN -1;
	END IF;
	WITH bounds AS MATERIALIZED (
		SELECT g.topic, least(buffkit_log_bound(g.topic, g.max_count, g.max_bytes, g.max_age), clock - tail) AS upto
		FROM unnest(topics, counts, bytes, ages) AS g (topic, max_count, max_bytes, max_age)
	), old AS MATERIALIZED (
		SELECT e."offset" FROM bounds b
		CROSS JOIN LATERAL (
			SELECT o."offset" FROM buffkit_log_events o WHERE o.topic = b.topic AND o."offset" <= b.upto ORDER BY o."offset" LIMIT max_rows
		) e LIMIT max_rows
	), gone AS (
		DELETE FROM buffkit_log_events e USING old WHERE e."offset" = old."offset" RETURNING e.topic, e."offset"
	), noted AS (
		INSERT INTO buffkit_log_topics AS t (topic, trimmed) SELECT topic, max("offset") FROM gone GROUP BY topic
		ON CONFLICT (topic) DO UPDATE SET trimmed = greatest(t.trimmed, excluded.trimmed)
	)
	SELECT count(*) INTO dropped FROM gone;
	RETURN dropped;
END
$$;
