package lint

import "strings"

// Rules about locks on whole tables.
var (
	indexBlocking = rule{Rule: Rule{
		ID: "index-not-concurrent", Category: Blocking, Severity: Warning, Dialects: onPostgres, Weighs: true,
		Title: "CREATE INDEX without CONCURRENTLY",
		Why:   "It blocks all writes to the table until the index is built.",
		Safe:  "-- no-transaction\nSET lock_timeout = 0;\nCREATE INDEX CONCURRENTLY orders_user_id ON orders (user_id);",
	}, check: func(c *checker, s *stmt) {
		if s.verb != createIndex || s.concurrently || s.only || !c.busy(s.table) {
			return
		}
		if t := c.catalog.table(s.table); t != nil && t.partitioned {
			c.on(s.table, s, s.first(), "CREATE INDEX blocks writes to "+s.table.String()+" and all its partitions until it is built",
				"CREATE INDEX "+s.indexName().String()+" ON ONLY "+s.table.String()+" ("+s.list.sql()+");\n"+
					"-- then, for each partition, CREATE INDEX CONCURRENTLY … and ALTER INDEX … ATTACH PARTITION …")
			return
		}
		c.on(s.table, s, s.first(), "CREATE INDEX blocks writes to "+s.table.String()+" until it is built",
			"-- no-transaction\n"+strings.Replace(s.again(), s.tokens[:s.tokens.find("index")+1].written(),
				s.tokens[:s.tokens.find("index")+1].written()+" CONCURRENTLY", 1)+";")
	}}

	dropIndexBlocking = rule{Rule: Rule{
		ID: "drop-index-not-concurrent", Category: Blocking, Severity: Warning, Dialects: onPostgres,
		Title: "DROP INDEX without CONCURRENTLY",
		Why:   "It waits for every query on the table to end, and meanwhile every other one queues up behind it.",
		Safe:  "-- no-transaction\nDROP INDEX CONCURRENTLY orders_user_id;",
	}, check: func(c *checker, s *stmt) {
		if s.verb != drop || s.object != "index" || s.concurrently {
			return
		}
		for _, n := range s.names {
			t := c.catalog.index(n)
			if t == nil || t.born != c.script && !t.partitioned {
				c.report(s, n.token(), "DROP INDEX "+n.String()+" stops all reading and writing of its table while it waits",
					"-- no-transaction\nDROP INDEX CONCURRENTLY "+n.String()+";")
			}
		}
	}}

	reindexBlocking = rule{Rule: Rule{
		ID: "reindex-not-concurrent", Category: Blocking, Severity: Warning, Dialects: onPostgres, Weighs: true,
		Title: "REINDEX without CONCURRENTLY",
		Why:   "It blocks writes to the table, and reads that would use the index, until the index is built again.",
		Safe:  "-- no-transaction\nREINDEX INDEX CONCURRENTLY orders_user_id;",
	}, check: func(c *checker, s *stmt) {
		if s.verb == reindex && !s.concurrently && s.object != "system" {
			c.on(s.table, s, s.first(), "REINDEX blocks writes until it is done", "")
		}
	}}

	refreshBlocking = rule{Rule: Rule{
		ID: "refresh-not-concurrent", Category: Blocking, Severity: Warning, Dialects: onPostgres, Weighs: true,
		Title: "REFRESH MATERIALIZED VIEW without CONCURRENTLY",
		Why:   "Nobody can read the view until its query has run.",
		Safe:  "-- needs a unique index on the view\nREFRESH MATERIALIZED VIEW CONCURRENTLY daily_sales;",
	}, check: func(c *checker, s *stmt) {
		if s.verb == refresh && !s.concurrently && c.busy(s.table) && !s.value.has("no", "data") {
			c.on(s.table, s, s.first(), "nobody can read "+s.table.String()+" until it is refreshed",
				"REFRESH MATERIALIZED VIEW CONCURRENTLY "+s.table.String()+"; -- needs a unique index on it")
		}
	}}

	vacuumFull = rule{Rule: Rule{
		ID: "vacuum-full", Category: Blocking, Severity: Warning, Dialects: onPostgres, Weighs: true,
		Title: "VACUUM FULL or CLUSTER",
		Why:   "It writes the whole table anew while nobody can read or write it, and needs room for a second one.",
		Safe:  "VACUUM (ANALYZE) events; -- frees the room for new rows; pg_repack or pg_squeeze shrink the file while others work",
	}, check: func(c *checker, s *stmt) {
		if s.verb == vacuum && s.full || s.verb == cluster && c.busy(s.table) {
			c.on(s.table, s, s.first(), strings.ToUpper(s.first().Text)+" rewrites the table while nobody can read or write it", "")
		}
	}}

	lockTables = rule{Rule: Rule{
		ID: "lock-table", Category: Blocking, Severity: Warning, Dialects: onServers, Weighs: true,
		Title: "LOCK TABLE",
		Why: "Everybody waits until the transaction ends; in MySQL until UNLOCK TABLES, and the connection's other tables can't be used. It is the" +
			" simplest way to a deadlock with the app.",
		Safe: "-- lock the rows that are changed\nSELECT id FROM accounts WHERE id = 7 FOR UPDATE;",
	}, check: func(c *checker, s *stmt) {
		if s.verb != lockTable || !c.busy(s.table) || s.value.has("access", "share") || s.value.has("row", "share") ||
			s.value.has("row", "exclusive") {
			return
		}
		c.on(s.table, s, s.first(), "LOCK TABLE makes everybody who uses "+s.table.String()+" wait", "")
	}}

	attachPartition = rule{Rule: Rule{
		ID: "attach-partition", Category: Blocking, Severity: Info, Dialects: onPostgres, Weighs: true,
		Title: "ATTACH PARTITION of a table with rows",
		Why: "PostgreSQL reads the whole table to see whether its rows belong there, while nobody can read or write it, unless a valid CHECK says the" +
			" same as the bounds.",
		Safe: "ALTER TABLE events_2024 ADD CONSTRAINT bounds CHECK (at >= '2024-01-01' AND at < '2025-01-01') NOT VALID;\n" +
			"-- in the next migration\nALTER TABLE events_2024 VALIDATE CONSTRAINT bounds;\n-- in the next migration\n" +
			"ALTER TABLE events ATTACH PARTITION events_2024 FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');",
	}, check: func(c *checker, s *stmt) {
		for i := range s.actions {
			if a := &s.actions[i]; a.kind == "attach partition" && c.busy(a.to) && !c.catalog.table(a.to).checked() {
				c.on(a.to, s, a.token, "attaching "+a.to.String()+" reads all its rows, unless a valid CHECK says what its bounds are", "")
			}
		}
	}}

	detachPartition = rule{Rule: Rule{
		ID: "detach-not-concurrent", Category: Blocking, Severity: Warning, Dialects: onPostgres,
		Title: "DETACH PARTITION without CONCURRENTLY",
		Why:   "It waits for every query on the whole partitioned table, and all new ones queue up behind it. CONCURRENTLY is there since PostgreSQL 14.",
		Safe:  "-- no-transaction\nALTER TABLE events DETACH PARTITION events_2023 CONCURRENTLY;",
	}, check: func(c *checker, s *stmt) {
		for i := range s.actions {
			if a := &s.actions[i]; a.kind == "detach partition" && !a.concurrent && c.busy(s.table) && c.version.since(14) {
				c.report(s, a.token, "detaching "+a.to.String()+" stops all reading and writing of "+s.table.String()+" while it waits",
					"-- no-transaction\nALTER TABLE "+s.table.String()+" DETACH PARTITION "+a.to.String()+" CONCURRENTLY;")
			}
		}
	}}

	setStorage = rule{Rule: Rule{
		ID: "set-tablespace", Category: Blocking, Severity: Warning, Dialects: onPostgres, Weighs: true,
		Title: "SET TABLESPACE, SET LOGGED, SET UNLOGGED or SET ACCESS METHOD",
		Why:   "The table is copied while nobody can read or write it. UNLOGGED also means that a crash empties it.",
		Safe:  "-- pg_repack moves a table while others work:\n-- pg_repack --table=events --tablespace=fast",
	}, check: func(c *checker, s *stmt) {
		for i := range s.actions {
			if a := &s.actions[i]; a.kind == "set storage" && c.busy(s.table) {
				c.on(s.table, s, a.token, "this copies "+s.table.String()+" while nobody can read or write it", "")
			}
		}
	}}

	alterDomain = rule{Rule: Rule{
		ID: "domain-constraint", Category: Blocking, Severity: Warning, Dialects: onPostgres,
		Title: "ALTER DOMAIN … ADD CONSTRAINT without NOT VALID",
		Why:   "Every table that has a column of the domain is read while nobody can write it.",
		Safe:  "ALTER DOMAIN email ADD CONSTRAINT email_has_at CHECK (VALUE LIKE '%@%') NOT VALID;\n-- in the next migration\nALTER DOMAIN email VALIDATE CONSTRAINT email_has_at;",
	}, check: func(c *checker, s *stmt) {
		if s.verb == alterOther && s.object == "domain" &&
			(s.options.get(0).Is("add") && !s.options.has("not", "valid") || s.options.has("set", "not", "null")) {
			c.report(s, s.first(), "every table with a column of this domain is read while nobody can write it", "")
		}
	}}

	disableTrigger = rule{Rule: Rule{
		ID: "disable-trigger", Category: Data, Severity: Warning, Dialects: onPostgres,
		Title: "DISABLE TRIGGER or session_replication_role = replica",
		Why: "What the trigger keeps right is not kept right meanwhile; ALL and replica switch off foreign keys too. If the script doesn't turn it on" +
			" again, nobody notices.",
		Safe: "-- let the trigger do nothing for this session only, by a setting that it asks for\nSET LOCAL app.skip_audit = 'on';",
	}, check: func(c *checker, s *stmt) {
		for i := range s.actions {
			if a := &s.actions[i]; a.kind == "disable trigger" && c.busy(s.table) {
				c.report(s, a.token, "triggers on "+s.table.String()+" don't run for anybody, which includes foreign keys if it says ALL", "")
			}
		}
		if s.verb == set && s.setting == "session_replication_role" && strings.EqualFold(unquote(s.value.get(0)), "replica") {
			c.report(s, s.first(), "no trigger runs and no foreign key is checked in this session", "")
		}
	}}
)
