// Package live lets the linter weigh by a real database, and looks at plans before they run.
//
//	migrate.Options{Check: live.Check(lint.Error, nil)} ── plan ──> version and sizes from the server ──> lint.Check ──> warnings, or a refusal
//
// Sizes are those of the server's statistics: nothing is locked, and no table is read but in SQLite, which has no statistics.
package live
