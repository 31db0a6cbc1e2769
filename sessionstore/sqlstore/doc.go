// Package sqlstore is a sessionstore.Store in PostgreSQL, MySQL, MariaDB (10.6 and later) or SQLite, by database/sql and whatever driver the app has.
//
//	Connect ─ a batch ─► one transaction: lock node, sessions, users ─ the rules, in Go ─► write what changed, a statement for each table
//	Leave, Restore, Sweep ─► the same, a thousand sessions at once
//	Revoked ◄── the feed's index: nothing but a look at its end if there is no news
//
// # What is promised
//
// What a call has changed is committed when it returns, as durable as the database's settings make that; limits are exact, also against claims of other nodes. An
// error of a call means that nothing was changed, or, if the connection broke while it committed, that nobody knows: connections may be counted that aren't there until the
// node's Restore, or that were taken back may still count. A Sweep of that kind may have removed sessions that nobody is told of.
//
// All transactions lock in one order, nodes before sessions before users before the feed, each by key, and those that the database ends for a deadlock, or since
// two make the same session known, are tried again for some seconds.
//
// Revocations get their numbers under the lock of one row, which is held until the transaction ends: so they become visible in their order, and
// who follows the feed passes none. Revocations therefore wait for each other, a few hundred a second and up; claims don't wait for them.
//
// The clock is the database server's. With SQLite it is this machine's, as is the file; there the driver should be told to wait for other writers
// (PRAGMA busy_timeout) and to let them write while others read (PRAGMA journal_mode = WAL).
//
// # What it costs
//
// A batch of claims takes a dozen statements or less, whatever its size up to a thousand, and one commit. In PostgreSQL a connected session
// takes about 580 bytes with all indexes, an abandoned one 260. A Sweep counts the sessions, which reads an index of all of them, so seldom that it takes a
// twentieth of the time at most.
package sqlstore
