// Package lint looks for what hurts in migrations before they run: lost data, blocked tables, scripts that can't be undone, that fail on
// data, or that fail half-way. It knows PostgreSQL, MySQL, MariaDB and SQLite, and never opens a database.
//
//	source.Migration ── Of ──> Migration ──┐
//	                                       ├── Check ──> []Finding ──> WriteText | WriteJSON | WriteSARIF, Failed
//	server's version, sizes of tables ─────┘
//
// Statements are recognized from the tokens of package lexer, so that a word within a string or a body means nothing. What isn't
// recognized is passed over: the linter says too little rather than something wrong.
//
// It reads migrations in order and remembers what they create. A table that this very script creates is empty and nobody waits for
// it, so nothing is called blocking there; a widening is told from a narrowing where an earlier script says what the column was.
//
// A finding is an error if the migration will fail or lose what nobody meant to lose, a warning if it may hurt in production, and
// info if there is a better way. Options.Rows, the sizes of the tables, raises and lowers what blocks for as long as a table is large.
//
// A rule that doesn't apply is allowed in the file, with a reason: at its top for all of it, or at a statement:
//
//	-- lint:allow drop-column nothing has read it since release 12
//
// docs/lint.md lists the rules; Rules returns them.
package lint
