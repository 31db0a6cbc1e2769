// Package sqlitelog is a log in a SQLite file: the durable one of a single machine.
//
// When Append returns, the events are on the disk: WAL mode, a sync for each commit, and one commit for all calls that wait. A kill or a
// power cut loses nothing that was acknowledged, as far as the disk keeps its word.
//
// AppendTx stores events in the app's own transaction on the same file: they arrive if and only if it commits, in the order of the commits.
//
// Several processes of one machine may share a file. Each sees what another stores within 10 milliseconds. A file on a network
// file system can't be shared: SQLite's locks and WAL need shared memory.
//
// Retention is that of Options, for each topic, under a budget for all. What is over is never read again, and is deleted in the background; an event stays on
// the disk for 10 seconds at least, so that a process which is late doesn't miss it, and less than 32 KiB of a topic may stay for longer.
//
// Events that are stored together stand together: a row holds those of one topic that one commit stored, up to 64 KiB, with a checksum. The events of
// a row that doesn't fit its own are lost: readers of their topic are told a gap, the logger says which, and all else goes on. ErrDamaged is the error where nobody can tell what
// is lost.
//
// The tables are created, if they aren't there, by Open: their names begin with buffkit_. They are no migration of the app's: a file may be opened by
// several programs, and by those that have no migrations; the app's ledger then says nothing of a table that it doesn't own. Back the file up with
// SQLite's own means ("VACUUM INTO", the backup API), not with cp.
package sqlitelog
