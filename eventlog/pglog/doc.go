// Package pglog is a durable log in PostgreSQL 13 or later, which all nodes of an app share, and which takes events inside the app's own transactions.
//
//	Append ── calls that come together are one transaction ──> buffkit_log_events <── follow: NOTIFY says when, the table says what
//	AppendTx ── buffkit_log_pending ── COMMIT ── trigger ─────────^
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
// longer when the app says SET CONSTRAINTS ALL IMMEDIATE, or PREPARE TRANSACTION: then no node appends until that transaction ends. Other
// deferred constraints that wait for rows which another transaction holds may end in a deadlock, which the server finds and ends as any other.
// The isolation must be READ COMMITTED, the server's default.
//
// # What to set up
//
// The tables come with Options.Migrate, or with Source in the app's own migrations. Who opens the log needs to read and write them and to execute their functions; an app that
// has a schema of its own names it in its search_path. A node keeps one connection for itself and needs two more at times. Behind a
// pooler in transaction mode, PgBouncer say, notifications don't arrive: the log notices, and asks every Options.Poll.
// Package function Check, and buffkit doctor, look for settings that lose events.
//
// Retention is per topic. What is over it isn't shown from then on, and is deleted in the background in small transactions, by one node at a time. The clock is the server's.
package pglog
