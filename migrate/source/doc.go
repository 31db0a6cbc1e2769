// Package source finds migrations in a folder, embedded or on disk, and says what is wrong with its files before anything runs.
//
//	20260102_users.up.sql           for every database
//	20260102_users.down.sql         how to undo it; may be missing
//	20260103_search.postgres.up.sql instead of, or without, a file for every database
//	20260104_teams.sql              both in one file: -- migrate:up … -- migrate:down …
//
// A version is a number of any length; 7 and 007 are the same one. A dialect's file goes before the one for every database; MariaDB
// also takes those for MySQL. A version that has files for other dialects only doesn't exist for this one. A file of
// no bytes is a migration that does nothing. Folders within the folder are not read: each is a source of its own, see fs.Sub.
//
// The comments at the top of a file may hold headers:
//
//	-- depends: auth:0003, 20260102      other migrations that must have run, of another source or of this one
//	-- no-transaction                    statements run one by one, for CREATE INDEX CONCURRENTLY and the like
//	-- lint:allow drop-column unused     a rule of the linter that doesn't apply here, and why
//	-- env: production, staging          where it runs; everywhere without
//	-- repeatable                        runs again when the file changes: views, functions, seeds
//	-- requires-app: 1.4.0               the oldest version of the app that works with this schema
//
// In a file with both sections the headers above the first section are for both, those right below a section's line for it
// alone. Below the first statement they are an error, but lint:allow, which is then for the statement after it. A section's line
// is recognized where SQL has a comment, not within a string.
//
// A checksum doesn't change with a byte order mark, with CRLF for LF, or with the line end of the last line, since editors and
// checkouts change those.
package source
