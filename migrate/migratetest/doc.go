// Package migratetest tries an app's migrations out, in the app's own tests. Each function runs them for real on databases that the
// test provides, and returns all that it found as one error:
//
//	RoundTrip   each migration up, down, up: is the schema what it was? with rows in the tables, if a hook puts some there
//	Parity      the same migrations on two kinds of databases: do they make comparable tables?
//	Faults      the connection is lost at each statement in turn: does the next Up finish, and is nothing done twice?
//
// The databases must be empty, and nobody else may use them. Nothing of this is for a database that holds something.
package migratetest
