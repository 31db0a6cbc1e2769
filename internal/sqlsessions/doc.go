// Package sqlsessions tests sessionstore/sqlstore and eventlog/sqlarchive on real databases: SQLite, and the servers of package servers. It is a module of its own, so that
// no driver ends up in the go.sum of a user.
package sqlsessions
