// Package eventlog keeps events in order, bounded, and readable again from any place.
//
// A Log is the one source of truth of a stream: what was published is appended to it, and every connection, live or
// coming back, reads it from a Cursor of its own. There is no second path for live events, so there is no seam between
// replay and live at which an event could fall through.
//
//	Append(topic a) ─┐                             ┌─ Read(a b, after cursor 17)
//	Append(topic b) ─┴─> … 16 a │ 17 b │ 19 a │ 20 b ─┴─ Read(a,   after cursor 19)
//
// Offsets are a hybrid clock, max(previous+1, microseconds now): unique, rising, and never used twice even by a log that
// lost its tail. A Cursor adds the log's epoch, its identity. A reader that comes with a cursor which the log can't
// honour in full is told so, per topic, by a Gap with ErrTrimmed, ErrOtherLog or ErrRolledBack; never by a
// partial answer that looks whole.
//
// Memory is the log of one process. A durable or shared log is a Replica, which serves readers from memory, over a Store, which keeps
// records: those of SQLite, Redis and PostgreSQL are modules beside this package. Who writes a Store runs package storetest against
// it, and logtest against its Replica: these suites are the contract.
package eventlog
