// Package pattern writes migrations that are done the safe way, each with its way back, for each database as it can do it.
//
//	Write("index", dialect.Postgres, Params{Table: "orders", Columns: …}) ──> files with sections -- migrate:up and -- migrate:down
//
// What comes out is a beginning: text that belongs to you, with comments that say why it is as it is. It passes the linter of package
// migrate/lint, or says with lint:allow why not.
package pattern
