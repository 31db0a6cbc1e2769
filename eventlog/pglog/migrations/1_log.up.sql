-- The log of package pglog: what it promises is written there.

-- One row for each partition. Who appends holds its lock until the end of the transaction, so offsets become visible in their order.
CREATE TABLE buffkit_log (
	partition integer PRIMARY KEY,
	epoch     bigint NOT NULL,
	head      bigint NOT NULL, -- the newest offset
	chain     bigint NOT NULL, -- the head before the last transaction that moved it
	mark      bigint NOT NULL  -- of the newest row of events
) WITH (fillfactor = 10); -- room for new versions of the row beside the old ones, without a change to the index

CREATE FUNCTION buffkit_log_epoch() RETURNS bigint LANGUAGE sql AS $$
	SELECT greatest(1, ('x' || left(replace(gen_random_uuid()::text, '-', ''), 10))::bit(40)::bigint)
$$;

-- The clock of offsets: microseconds since 1970.
CREATE FUNCTION buffkit_log_clock() RETURNS bigint LANGUAGE sql VOLATILE AS $$
	SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
$$;

-- What tells a row of events from one that another log has at the same offsets, as after a failover that lost the end of the log: the lower half is random, and the
-- upper half is the lower one of the row before. So if the last offset and the mark of a row are known ones, all before it is known, too.
CREATE FUNCTION buffkit_log_mark(before bigint) RETURNS bigint LANGUAGE sql VOLATILE AS $$
	SELECT (before << 32) | (uuid_hash(gen_random_uuid())::bigint & 4294967295)
$$;

INSERT INTO buffkit_log VALUES (0, buffkit_log_epoch(), 0, 0, 0);

-- The events, as they were stored: some that came together are a row. They have the offsets from first to last. Rows that were stored in one
-- transaction may be several: a row has at most 1000 events, and 512 KiB of them and one more.
CREATE TABLE buffkit_log_batches (
	last    bigint     PRIMARY KEY,
	first   bigint     NOT NULL,
	chain   bigint     NOT NULL, -- the offset before first, whatever its topic
	mark    bigint     NOT NULL,
	topics  text[]     COLLATE "C" NOT NULL, -- each once, '' if all of it was dropped
	prevs   bigint[]   NOT NULL, -- of each topic the offset before its first event here
	lasts   smallint[] NOT NULL, -- and the number of its last event here, counted from 1
	members smallint[] NOT NULL, -- of each event the number of its topic, 0 if it was dropped
	ends    integer[]  NOT NULL, -- and where it ends in body, in bytes
	keys    integer[],           -- and how many bytes of it are the key; NULL if no event has one
	body    bytea      NOT NULL  -- of each event its key and its body
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

ALTER TABLE buffkit_log_batches ALTER body SET STORAGE EXTERNAL; -- not compressed: that takes longer than to write it, and a part of it can be read

-- Where the events of a topic are: a row for some that follow each other in their topic. It is made a little later than the events.
CREATE TABLE buffkit_log_index (
	topic   text      COLLATE "C",
	last    bigint,
	prev    bigint    NOT NULL, -- the offset in the topic before these
	offsets bigint[]  NOT NULL,
	sizes   integer[] NOT NULL, -- of body and key
	bytes   bigint    NOT NULL, -- of all of them
	PRIMARY KEY (topic, last)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

-- Up to which offset the index knows all. Younger events are found by a look into their rows.
CREATE TABLE buffkit_log_indexed (
	upto bigint NOT NULL
) WITH (fillfactor = 10);

INSERT INTO buffkit_log_indexed VALUES (0);

-- How far a topic was trimmed: its events up to there count as gone, whether or not they are still in their rows. The topic '', which no event can have, stands for those forgotten here.
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

-- Runs of events that follow each other in their topic, as the index has them, and of the younger ones as their rows have them. That those are up to the head says
-- nothing but to the planner, which would take an open range for a third of the table.
CREATE VIEW buffkit_log_runs AS
SELECT i.topic, i.last, i.prev, i.offsets, i.sizes, i.bytes FROM buffkit_log_index i
UNION ALL
SELECT g.topic, b.first + g.nth - 1, g.prev, e.offsets, e.sizes, e.bytes
FROM buffkit_log_batches b
CROSS JOIN LATERAL unnest(b.topics, b.prevs, b.lasts) WITH ORDINALITY AS g (topic, prev, nth, k)
CROSS JOIN LATERAL (
	SELECT array_agg(b.first + p.n - 1 ORDER BY p.n) AS offsets, array_agg(p.size ORDER BY p.n) AS sizes, sum(p.size) AS bytes
	FROM (
		SELECT m.n, m.member, m.stop - lag(m.stop, 1, 0) OVER (ORDER BY m.n) AS size
		FROM unnest(b.members, b.ends) WITH ORDINALITY AS m (member, stop, n)
	) p WHERE p.member = g.k
) e
WHERE b.last > (SELECT upto FROM buffkit_log_indexed) AND b.last <= (SELECT head FROM buffkit_log WHERE partition = 0) AND g.topic <> '';

-- The events that count, by topic. Of the run that they are in, known is the last offset and since the one before the first: who looks for a range asks for
-- these, too.
CREATE VIEW buffkit_log_events AS
SELECT r.topic, e."offset", e.prev, e.size, r.prev AS since, r.last AS known
FROM buffkit_log_runs r
CROSS JOIN LATERAL (
	SELECT u."offset", u.size, lag(u."offset", 1, r.prev) OVER (ORDER BY u.n) AS prev
	FROM unnest(r.offsets, r.sizes) WITH ORDINALITY AS u ("offset", size, n)
) e
LEFT JOIN buffkit_log_topics t ON t.topic = r.topic
WHERE e."offset" > coalesce(t.trimmed, 0);

-- What the next event of each topic names as the one before it. Rows that begin behind since aren't looked into. It is planned once a session: that takes ten times
-- as long as to run it.
CREATE FUNCTION buffkit_log_newest(names text[], since bigint) RETURNS TABLE (topic text, newest bigint)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY SELECT g.name, coalesce(
		greatest(
			f.newest,
			(SELECT max(i.last) FROM buffkit_log_index i WHERE i.topic = g.name),
			(SELECT t.trimmed FROM buffkit_log_topics t WHERE t.topic = g.name)),
		(SELECT t.trimmed FROM buffkit_log_topics t WHERE t.topic = ''),
		0)
	FROM unnest(names) AS g (name)
	LEFT JOIN (
		SELECT u.topic, max(b.first + u.nth - 1) AS newest
		FROM buffkit_log_batches b CROSS JOIN LATERAL unnest(b.topics, b.lasts) AS u (topic, nth)
		WHERE b.last > (SELECT upto FROM buffkit_log_indexed) AND b.first <= since
			AND b.last <= coalesce((SELECT x.last FROM buffkit_log_batches x WHERE x.last >= since ORDER BY x.last LIMIT 1), since) -- so none is looked at in vain
			AND (cardinality(names) > 4 OR b.topics && names) -- each with each, so of a few alone
		GROUP BY u.topic
	) f ON f.topic = g.name;
END
$$;

-- Tells all nodes that there is news. It is a hint alone, and no commit shall fail because some listener doesn't listen and the server's queue is full.
CREATE FUNCTION buffkit_log_notify() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF pg_notification_queue_usage() < 0.5 THEN
		PERFORM pg_notify('buffkit_log_' || 'buffkit_log'::regclass::oid, '');
	END IF;
END
$$;

-- Stores events without idempotency keys, which make one row: see there for names (the topics), lasts, members, ends, keys and body. known has what the
-- caller takes for the newest offset of each of the topics, or 0, as it was when the log's head was at, with that mark: it knows all that were stored behind since. If
-- others have stored events meanwhile, theirs are looked for; if that place is more than two seconds back, when the index serves better, or the log has no row there
-- any more, or another one, nothing is taken for known.
CREATE FUNCTION buffkit_log_append(names text[], nths smallint[], numbers smallint[], stops integer[], key_sizes integer[], bytes bytea,
	known bigint[], at bigint, at_mark bigint, since bigint, OUT epoch bigint, OUT first bigint, OUT chain bigint, OUT mark bigint, OUT prevs bigint[])
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
#variable_conflict use_variable
DECLARE
	head bigint;
BEGIN
	-- It takes the lock. The next statement's snapshot is taken when it is held, and sees all that others have committed.
	UPDATE buffkit_log l SET chain = l.head, head = greatest(l.head + 1, buffkit_log_clock()) + cardinality(numbers) - 1, mark = buffkit_log_mark(l.mark)
	WHERE l.partition = 0 RETURNING l.epoch, l.chain, l.head, l.mark INTO STRICT epoch, chain, head, mark;
	first := head - cardinality(numbers) + 1;
	prevs := known;
	IF chain <> at AND chain - at < 2000000 AND EXISTS (SELECT FROM buffkit_log_batches b WHERE b.last = at AND b.mark = at_mark) THEN
		IF cardinality(names) <= 4 THEN -- a look for each is quicker than to sort what is there
			SELECT array_agg(greatest(g.known,
				(SELECT b.first + b.lasts[array_position(b.topics, g.name)] - 1 FROM buffkit_log_batches b WHERE b.last > at AND g.name = ANY (b.topics) ORDER BY b.last DESC LIMIT 1),
				(SELECT t.trimmed FROM buffkit_log_topics t WHERE t.topic = g.name AND t.trimmed > at)) ORDER BY g.n)
			INTO prevs FROM unnest(names, known) WITH ORDINALITY AS g (name, known, n);
		ELSE
			SELECT array_agg(greatest(g.known, m.newest, (SELECT t.trimmed FROM buffkit_log_topics t WHERE t.topic = g.name AND t.trimmed > at)) ORDER BY g.n)
			INTO prevs FROM unnest(names, known) WITH ORDINALITY AS g (name, known, n)
			LEFT JOIN (
				SELECT u.topic, max(b.first + u.nth - 1) AS newest
				FROM buffkit_log_batches b CROSS JOIN LATERAL unnest(b.topics, b.lasts) AS u (topic, nth) WHERE b.last > at AND b.last <= chain GROUP BY u.topic
			) m ON m.topic = g.name;
		END IF;
	ELSIF chain <> at OR ((mark >> 32) & 4294967295) <> (at_mark & 4294967295) THEN
		prevs := array_fill(0::bigint, ARRAY[cardinality(names)]);
		since := chain;
	END IF;
	IF 0 = ANY (prevs) THEN
		SELECT array_agg(CASE WHEN g.prev > 0 THEN g.prev ELSE o.newest END ORDER BY g.n) INTO prevs
		FROM unnest(names, prevs) WITH ORDINALITY AS g (name, prev, n)
		LEFT JOIN buffkit_log_newest(ARRAY(SELECT u.name FROM unnest(names, prevs) AS u (name, prev) WHERE u.prev = 0), since) o ON o.topic = g.name;
	END IF;
	INSERT INTO buffkit_log_batches (last, first, chain, mark, topics, prevs, lasts, members, ends, keys, body)
	VALUES (head, first, chain, mark, names, prevs, nths, numbers, stops, key_sizes, bytes);
	PERFORM buffkit_log_notify();
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
	tip       bigint;
	tip_mark  bigint;
	next_mark bigint; -- of the first row
	clock     bigint;
BEGIN
	SELECT l.epoch, l.head, l.mark INTO STRICT log_epoch, tip, tip_mark FROM buffkit_log l WHERE l.partition = 0 FOR UPDATE;
	clock := buffkit_log_clock();
	next_mark := buffkit_log_mark(tip_mark);
	RETURN QUERY
	WITH given AS MATERIALIZED (
		SELECT g.n, g.topic, g.key, g.body, g.idem, k."offset" AS known,
			CASE WHEN g.idem IS NULL THEN g.n ELSE min(g.n) OVER (PARTITION BY g.topic, g.idem) END AS first
		FROM unnest(topics, keys, bodies, idems) WITH ORDINALITY AS g (topic, key, body, idem, n)
		LEFT JOIN buffkit_log_keys k ON k.topic = g.topic AND k.key = g.idem AND k."offset" >= clock - period
	), fresh AS MATERIALIZED (
		SELECT n, topic, key, idem, key || body AS piece, octet_length(key) AS key_size, octet_length(key) + octet_length(body) AS size,
			greatest(tip + 1, clock) + row_number() OVER (ORDER BY n) - 1 AS place
		FROM given WHERE known IS NULL AND first = n
	), chained AS MATERIALIZED ( -- which also tells which row an event comes into
		SELECT f.*, (f.place - min(f.place) OVER ()) / 1000 AS thousand, sum(f.size) OVER (ORDER BY f.n) / 524288 AS half,
			coalesce(lag(f.place) OVER (PARTITION BY f.topic ORDER BY f.n), o.newest) AS prev,
			coalesce(lag(f.place) OVER (ORDER BY f.n), tip) AS chain
		FROM fresh f JOIN buffkit_log_newest(ARRAY(SELECT DISTINCT g.topic FROM fresh g), tip) o ON o.topic = f.topic
	), numbered AS MATERIALIZED (
		SELECT c.*, dense_rank() OVER (PARTITION BY c.thousand, c.half ORDER BY c.topic) AS k,
			row_number() OVER events AS i, sum(c.size) OVER events AS stop
		FROM chained c WINDOW events AS (PARTITION BY c.thousand, c.half ORDER BY c.n)
	), topical AS (
		SELECT t.thousand, t.half, array_agg(t.topic ORDER BY t.k) AS topics, array_agg(t.prev ORDER BY t.k) AS prevs, array_agg(t.nth ORDER BY t.k) AS lasts
		FROM (
			SELECT c.thousand, c.half, c.k, c.topic, min(c.prev) AS prev, max(c.i)::smallint AS nth FROM numbered c GROUP BY c.thousand, c.half, c.k, c.topic
		) t GROUP BY t.thousand, t.half
	), stored AS (
		INSERT INTO buffkit_log_batches AS b (last, first, chain, mark, topics, prevs, lasts, members, ends, keys, body)
		SELECT max(c.place), min(c.place), min(c.chain), CASE WHEN min(c.chain) = tip THEN next_mark ELSE (next_mark << 32) | (next_mark & 4294967295) END, t.topics, t.prevs, t.lasts, array_agg(c.k::smallint ORDER BY c.n), array_agg(c.stop::integer ORDER BY c.n),
			CASE WHEN max(c.key_size) > 0 THEN array_agg(c.key_size ORDER BY c.n) END, string_agg(c.piece, ''::bytea ORDER BY c.n)
		FROM numbered c JOIN topical t ON t.thousand = c.thousand AND t.half = c.half
		GROUP BY c.thousand, c.half, t.topics, t.prevs, t.lasts
		RETURNING b.last, b.mark
	), remembered AS (
		INSERT INTO buffkit_log_keys AS k (topic, key, "offset")
		SELECT f.topic, f.idem, f.place FROM fresh f WHERE f.idem IS NOT NULL
		ON CONFLICT (topic, key) DO UPDATE SET "offset" = excluded."offset"
	), moved AS (
		UPDATE buffkit_log l SET chain = l.head, (head, mark) = (SELECT s.last, s.mark FROM stored s ORDER BY s.last DESC LIMIT 1)
		WHERE l.partition = 0 AND EXISTS (SELECT FROM fresh)
	)
	SELECT log_epoch, coalesce(g.known, f.place), coalesce(s.prev, 0), coalesce(s.chain, 0), g.known IS NOT NULL OR g.first < g.n
	FROM given g
	LEFT JOIN fresh f ON f.n = g.first
	LEFT JOIN chained s ON s.n = g.n
	ORDER BY g.n;
	PERFORM buffkit_log_notify();
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
	known    bigint  NOT NULL, -- as buffkit_log_append takes it, and at, its mark and since
	at       bigint  NOT NULL,
	mark     bigint  NOT NULL,
	since    bigint  NOT NULL,
	PRIMARY KEY (xact, n)
) WITH (autovacuum_vacuum_scale_factor = 0.02);

-- Stores what the transaction has pending. The lock is taken as late as can be, when the row is ready.
CREATE FUNCTION buffkit_log_commit() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
	mine record;
	made record;
BEGIN
	WITH taken AS (
		DELETE FROM buffkit_log_pending WHERE xact = pg_current_xact_id() RETURNING *
	)
	SELECT array_agg(topic ORDER BY n) AS topics, array_agg(key ORDER BY n) AS keys, array_agg(body ORDER BY n) AS bodies, array_agg(idem ORDER BY n) AS idems,
		array_agg(known ORDER BY n) AS known, min(at) AS at, max(since) AS since, max(period) AS period,
		array_agg(at ORDER BY at) FILTER (WHERE leads) AS places, array_agg(mark ORDER BY at) FILTER (WHERE leads) AS marks,
		count(*) AS many, count(idem) AS once, sum(octet_length(key) + octet_length(body)) AS size, max(octet_length(key)) AS key_size
	INTO mine FROM taken;
	IF cardinality(mine.places) > 1 AND EXISTS ( -- what the calls take for known is put together: it must be of this log, all of it
		SELECT FROM (SELECT DISTINCT u.place, u.mark FROM unnest(mine.places, mine.marks) AS u (place, mark)) p
		WHERE NOT EXISTS (SELECT FROM buffkit_log_batches b WHERE b.last = p.place AND b.mark = p.mark)
	) THEN
		mine.at := -1; -- nowhere
	END IF;
	IF mine.many = 1 AND mine.once = 0 THEN
		PERFORM buffkit_log_append(mine.topics, '{1}', '{1}', ARRAY[mine.size::integer], CASE WHEN mine.key_size > 0 THEN ARRAY[mine.key_size] END,
			mine.keys[1] || mine.bodies[1], mine.known, mine.at, mine.marks[1], mine.since);
	ELSIF mine.many <= 1000 AND mine.size <= 524288 AND mine.once = 0 THEN
		WITH given AS MATERIALIZED (
			SELECT g.*, dense_rank() OVER (ORDER BY g.topic) AS k, sum(octet_length(g.key) + octet_length(g.body)) OVER (ORDER BY g.n) AS stop
			FROM unnest(mine.topics, mine.keys, mine.bodies, mine.known) WITH ORDINALITY AS g (topic, key, body, known, n)
		)
		SELECT e.*, t.* INTO made FROM (
			SELECT array_agg(g.k::smallint ORDER BY g.n) AS numbers, array_agg(g.stop::integer ORDER BY g.n) AS stops,
				array_agg(octet_length(g.key) ORDER BY g.n) AS key_sizes, string_agg(g.key || g.body, '' ORDER BY g.n) AS bytes
			FROM given g
		) e CROSS JOIN (
			SELECT array_agg(o.topic ORDER BY o.k) AS names, array_agg(o.nth::smallint ORDER BY o.k) AS nths, array_agg(o.known ORDER BY o.k) AS known
			FROM (SELECT g.k, g.topic, max(g.n) AS nth, max(g.known) AS known FROM given g GROUP BY g.k, g.topic) o
		) t;
		PERFORM buffkit_log_append(made.names, made.nths, made.numbers, made.stops, CASE WHEN mine.key_size > 0 THEN made.key_sizes END,
			made.bytes, made.known, mine.at, mine.marks[1], mine.since);
	ELSIF mine.many > 0 THEN -- else another call of this transaction was here before
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

-- The newest offset of a topic that is over a limit and not noted yet, or 0. NULL is no limit; ages are microseconds. The newest event is dropped by age alone.
-- Only the newest run that has such an event is looked into.
CREATE FUNCTION buffkit_log_bound(name text, max_count bigint, max_bytes bigint, max_age bigint) RETURNS bigint
LANGUAGE sql VOLATILE SET search_path FROM CURRENT AS $$
	SELECT coalesce(max(s."offset"), 0) FROM (
		SELECT u."offset", f.newer + row_number() OVER newest AS nth, f.newer_bytes + sum(u.size) OVER newest AS total, f.oldest
		FROM (
			SELECT * FROM (
				SELECT r.last, r.offsets, r.sizes, sum(cardinality(r.offsets)) OVER runs AS events, sum(cardinality(r.offsets)) OVER runs - cardinality(r.offsets) AS newer,
					sum(r.bytes) OVER runs AS bytes, sum(r.bytes) OVER runs - r.bytes AS newer_bytes, (SELECT buffkit_log_clock() - max_age) AS oldest
				FROM buffkit_log_runs r WHERE r.topic = name AND num_nonnulls(max_count, max_bytes, max_age) > 0 WINDOW runs AS (ORDER BY r.last DESC)
			) q WHERE q.events > max_count OR (q.bytes > max_bytes AND q.events > 1) OR q.offsets[1] < q.oldest ORDER BY q.last DESC LIMIT 1
		) f CROSS JOIN LATERAL unnest(f.offsets, f.sizes) AS u ("offset", size) WINDOW newest AS (ORDER BY u."offset" DESC)
	) s WHERE (s.nth > max_count OR (s.total > max_bytes AND s.nth > 1) OR s."offset" < s.oldest)
		AND s."offset" > coalesce((SELECT t.trimmed FROM buffkit_log_topics t WHERE t.topic = name), 0)
$$;

-- Notes how far the topics are over their limits, and drops what the index has up to there. Returns how many are, or -1 if another node is at it.
CREATE FUNCTION buffkit_log_trim(topics text[], counts bigint[], bytes bigint[], ages bigint[]) RETURNS bigint
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
	many bigint;
BEGIN
	IF NOT pg_try_advisory_xact_lock('buffkit_log_topics'::regclass::oid::bigint) THEN
		RETURN -1;
	END IF;
	WITH bounds AS MATERIALIZED (
		SELECT g.topic, buffkit_log_bound(g.topic, g.max_count, g.max_bytes, g.max_age) AS upto
		FROM unnest(topics, counts, bytes, ages) AS g (topic, max_count, max_bytes, max_age)
	), noted AS (
		INSERT INTO buffkit_log_topics AS t (topic, trimmed) SELECT b.topic, b.upto FROM bounds b WHERE b.upto > 0
		ON CONFLICT (topic) DO UPDATE SET trimmed = greatest(t.trimmed, excluded.trimmed)
	), gone AS (
		DELETE FROM buffkit_log_index i USING bounds b LEFT JOIN buffkit_log_topics t ON t.topic = b.topic
		WHERE i.topic = b.topic AND i.last <= greatest(b.upto, t.trimmed)
	)
	SELECT count(*) INTO many FROM bounds b WHERE b.upto > 0;
	RETURN many;
END
$$;

-- Looks at the next rows of events behind an offset, but at none that nodes may be reading: of the last tail microseconds, or not yet in the index. Drops those of
-- which no event counts any more, and writes those anew, without the others, of which less than half the bytes do. Returns the last that it looked at, NULL if there was none, and how
-- many it dropped; -1 if another node is at it.
CREATE FUNCTION buffkit_log_collect(behind bigint, max_rows bigint, tail bigint, OUT seen bigint, OUT dropped bigint) LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
	kept  bigint[]; -- rows of which something counts and something doesn't
	clock bigint := buffkit_log_clock();
BEGIN
	dropped := -1;
	IF NOT pg_try_advisory_xact_lock('buffkit_log_topics'::regclass::oid::bigint) THEN
		RETURN;
	END IF;
	WITH next AS MATERIALIZED (
		SELECT b.last, b.first, b.topics, b.lasts FROM buffkit_log_batches b
		WHERE b.last > behind AND b.last <= least(clock - tail, (SELECT i.upto FROM buffkit_log_indexed i)) ORDER BY b.last LIMIT max_rows
	), judged AS MATERIALIZED (
		SELECT s.last, bool_and(v.gone) AS gone, bool_or(v.topic <> '' AND (v.gone OR v.trimmed >= s.first)) AS less
		FROM next s CROSS JOIN LATERAL (
			SELECT u.topic, t.trimmed, u.topic = '' OR coalesce(t.trimmed >= s.first + u.nth - 1, NOT EXISTS ( -- an empty topic that is remembered no more
				SELECT FROM buffkit_log_index i WHERE i.topic = u.topic AND i.last >= s.first + u.nth - 1 AND i.prev < s.first + u.nth - 1)) AS gone
			FROM unnest(s.topics, s.lasts) AS u (topic, nth) LEFT JOIN buffkit_log_topics t ON t.topic = u.topic
		) v GROUP BY s.last
	), gone AS (
		DELETE FROM buffkit_log_batches b USING judged j WHERE b.last = j.last AND j.gone
	)
	SELECT max(j.last), count(*) FILTER (WHERE j.gone), array_agg(j.last) FILTER (WHERE j.less AND NOT j.gone) INTO seen, dropped, kept FROM judged j;
	IF kept IS NULL THEN
		RETURN;
	END IF;
	WITH events AS MATERIALIZED (
		SELECT b.last, m.n, b.first + m.n - 1 AS "offset", m.member, m.stop, m.stop - lag(m.stop, 1, 0) OVER (PARTITION BY b.last ORDER BY m.n) AS size, coalesce(b.keys[m.n], 0) AS key_size,
			m.member > 0 AND b.first + m.n - 1 > coalesce(t.trimmed, 0) AND (t.trimmed IS NOT NULL OR EXISTS (
				SELECT FROM buffkit_log_index i WHERE i.topic = b.topics[m.member] AND i.last >= b.first + m.n - 1 AND i.prev < b.first + m.n - 1)) AS counts
		FROM buffkit_log_batches b CROSS JOIN LATERAL unnest(b.members, b.ends) WITH ORDINALITY AS m (member, stop, n)
		LEFT JOIN buffkit_log_topics t ON t.topic = b.topics[m.member]
		WHERE b.last = ANY (kept)
	), poor AS (
		SELECT e.last FROM events e GROUP BY e.last HAVING 2 * coalesce(sum(e.size) FILTER (WHERE e.counts), 0) < sum(e.size)
	), rest AS (
		SELECT e.last, array_agg(CASE WHEN e.counts THEN e.member ELSE 0::smallint END ORDER BY e.n) AS members, array_agg(e.upto::integer ORDER BY e.n) AS ends,
			array_agg(CASE WHEN e.counts THEN e.key_size ELSE 0 END ORDER BY e.n) AS keys,
			coalesce(string_agg(substring(b.body FROM e.stop - e.size + 1 FOR e.size), ''::bytea ORDER BY e.n) FILTER (WHERE e.counts), '') AS body
		FROM (
			SELECT a.*, coalesce(sum(a.size) FILTER (WHERE a.counts) OVER (PARTITION BY a.last ORDER BY a.n), 0) AS upto FROM events a JOIN poor p ON p.last = a.last
		) e JOIN buffkit_log_batches b ON b.last = e.last GROUP BY e.last
	), holes AS (
		SELECT e.last, e.member, max(e."offset") AS upto FROM events e WHERE e.member > 0 AND NOT e.counts GROUP BY e.last, e.member
	)
	UPDATE buffkit_log_batches b SET members = r.members, ends = r.ends, keys = CASE WHEN b.keys IS NOT NULL THEN r.keys END, body = r.body,
		topics = ARRAY(SELECT CASE WHEN g.k::smallint = ANY (r.members) THEN g.topic ELSE '' END FROM unnest(b.topics) WITH ORDINALITY AS g (topic, k) ORDER BY g.k),
		prevs = ARRAY(SELECT coalesce(h.upto, g.prev) FROM unnest(b.prevs) WITH ORDINALITY AS g (prev, k)
			LEFT JOIN holes h ON h.last = b.last AND h.member = g.k ORDER BY g.k)
	FROM rest r WHERE b.last = r.last;
END
$$;
