// Package pglog is a durable log in PostgreSQL 13 or later, which all nodes of an app share, and which takes events inside the app's own transactions.
//
//	Append ── calls that come together are one row ──> buffkit_log_batches <── follow: NOTIFY says when, the table says what
//	AppendTx ── buffkit_log_pending ── COMMIT ── trigger ────^    └── a second later ──> buffkit_log_index <── history of a topic
//
// Events that are stored together are packed into one row: then to store them costs about what a bare INSERT of them costs. Which of a row's events are of which
// topic stands in an index of its own, which a node brings up to date every second; what it lacks yet is found by a look through the youngest rows. The view buffkit_log_events
// shows what counts, by topic.
//
// # What it promises
//
// An event is as durable as a row that was committed when Append returns: with fsync and synchronous_commit on it survives a crash of the
// server; whether it survives the loss of the server depends on its standbys. A failover, or a restore, that lost events which a node had
// seen is found by that node, and every client is told a gap. Offsets are in the order of the commits: who appends holds the lock of one row until the commit
// is written, so the events of all nodes together are stored in one transaction after the other; the calls of a node that wait meanwhile share the next one.
//
// # Events and rows, together or neither
//
//	tx, _ := pool.Begin(ctx)
//	tx.Exec(ctx, "INSERT INTO orders …")
//	log.AppendTx(ctx, tx, eventlog.Event{Topic: "orders", …})
//	tx.Commit(ctx)
//
// AppendTx puts the events into a table of their own. A deferred trigger takes them from there when the transaction commits, gives them their offsets and
// stores them. So the lock is held for the length of a commit, however long the transaction took and wherever in it AppendTx was called. It is held for
// longer when the app says SET CONSTRAINTS ALL IMMEDIATE: then no node appends until that transaction ends. PREPARE TRANSACTION fails, and nothing is stored:
// the server prepares no transaction that has sent a notification. Other
// deferred constraints that wait for rows which another transaction holds may end in a deadlock, which the server finds and ends as any other.
// The isolation must be READ COMMITTED, the server's default; for what the log does on its own connections it doesn't matter what the default is.
//
// # What to set up
//
// The tables come with Options.Migrate, or with Source in the app's own migrations. Who opens the log needs to read and write them and to execute their functions; an app that
// has a schema of its own names it in its search_path. A node keeps one connection for itself and needs two more at times. Behind a
// pooler in transaction mode, PgBouncer say, notifications don't arrive: the log notices, and asks every Options.Poll.
// Package function Check, and buffkit doctor, look for settings that lose events.
//
// Notifications are hints alone: when the server's queue of them is half full, because some listener elsewhere doesn't listen, the log sends none, no append fails, and events arrive
// up to Options.Poll later.
//
// Retention is per topic. What is over it isn't shown from then on. A row is deleted in the background when none of its events counts any more, in small transactions, by one node at
// a time; one of which less than half the bytes count is written anew without the others. So the table holds at most twice the bytes that count, some 50 bytes for each event of such
// a row, and what the walk through all rows hasn't come to: it takes two seconds of ten, and deletes the oldest rows first. The clock is the server's.
package pglog
