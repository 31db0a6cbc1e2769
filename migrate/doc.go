// Package migrate brings a database's schema from one version to the next, and back, so that neither kill -9 nor a second
// runner leaves it in a state that nobody knows.
//
//	sources ── read ──┐
//	                  ├─ Plan: what is wrong? then nothing runs. In which order? the very statements
//	ledger ── read ───┘      │
//	                         └─ lock ─ plan again ─ step by step ─ ledger
//
// A source is a set of migrations that one party writes: the app, a library. All sources of a database share one plan and one
// ledger; see package migrate/source for their files.
//
// # What is atomic
//
// On PostgreSQL and SQLite a migration is one transaction, and its row in the ledger is part of it. A migration
// with the header "-- no-transaction", and each one on MySQL and MariaDB that has more than data statements, can't be that. It is run
// in blocks: data statements next to each other are one transaction with their entry in a journal. A statement that
// commits by itself is announced in the journal before it is sent, together with what the catalog says about the objects that it
// changes, and struck off behind it. If the runner dies in between, the next one compares the catalog with what was noted: it
// knows that the statement was executed, or that it wasn't, and goes on there. Where the catalog can't tell, it runs nothing, and says what
// to look at and what to answer with Repair.
//
// # Who else is at it
//
// A lock of the server's, on a connection of its own that is idle and in no transaction, keeps a second runner out; SQLite has a
// row with a lease, checked again in each transaction. A runner that waits says who holds the lock. The lock ends with its owner's
// connection. A statement that a killed runner has left in the server holds a second lock, so that nobody works beside it.
//
// # Foreign keys in SQLite
//
// A table is changed in SQLite by making a new one, copying, dropping the old one and renaming, and with foreign keys enforced
// the drop deletes the rows of children. Within a transaction PRAGMA foreign_keys does nothing. So a migration that does this, or has
// the pragma in it, runs with foreign keys off, set before its transaction, and is rolled back if it leaves more broken
// references from one table to another than it found. Its own deletes don't cascade then.
//
// # BEGIN and COMMIT in a file
//
// A pair around the whole file is left out, since it is a transaction anyway. Any other is refused, and so is a transaction of another
// kind: ISOLATION LEVEL, READ ONLY, DEFERRABLE.
package migrate
