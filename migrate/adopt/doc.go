// Package adopt takes over what another tool's migrations have made: its folder is read as it is, and what its ledger says is
// applied gets rows in ours.
//
//	dir, err := adopt.Open(os.DirFS("migrations"), adopt.Goose, dialect.Postgres)
//	m, err := migrate.New(db, dialect.Postgres, &migrate.Options{Sources: []migrate.Source{{FS: dir}}})
//	history, err := dir.History(ctx, db, nil)
//	verified, err := m.VerifyAdopt(ctx, history.Adoption(""), scratch) // if you like: is the schema what these files make?
//	result, err := m.Adopt(ctx, history.Adoption(""))
//	_, err = m.Up(ctx) // goes on where the tool stopped
//
// A Dir shows the tool's files in the form that package source reads: goose's and sql-migrate's annotations become sections, tern's file
// becomes two, names get the underscore they lack. Line numbers stay. So new migrations can go on in the tool's format, or in
// ours beside it; or os.CopyFS(folder, dir) writes all of them in ours, with the same checksums, and the tool's folder isn't needed any more.
//
// Stop the tool before you adopt: it knows nothing of our lock. Adopt reads its ledger once more under that lock, and refuses if it isn't the same. And until
// a Dir is adopted an up refuses to run what its tool has applied, by its ledger at the place that is its default.
//
// The tool's ledger is only read: it stays what it was, and going back to the tool is possible until something more is applied.
//
//	tool            files                                    ledger
//	goose           N_name.sql, -- +goose Up                 goose_db_version: rows of up and down, the newest of a version counts
//	golang-migrate  N_name.up.sql                            schema_migrations (version, dirty): every file up to that version counts
//	dbmate          N_name.sql, -- migrate:up                schema_migrations (version)
//	sql-migrate     N-name.sql, -- +migrate Up               gorp_migrations: names of files
//	pop             N_name.up.sql, N_name.postgres.up.sql    schema_migration
//	tern            N_name.sql, ---- create above / drop …   schema_version: every file up to that version counts
//	bun             N_name.up.sql, N_name.tx.up.sql          bun_migrations: a row may be of a migration that failed
//
// What can't be read is an error that says what to write instead: .fizz files, templates ({{ }} in pop and tern), environment variables in
// goose (ENVSUB). Migrations in Go are left out, see Dir.Left; register each as a migrate.GoMigration of the same source and version.
//
// golang-migrate and bun run a file in no transaction of theirs. Ours is one transaction wherever the database allows it, so such a file
// becomes safer; one with CREATE INDEX CONCURRENTLY and the like gets the header no-transaction.
package adopt
