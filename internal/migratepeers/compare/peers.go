package main

import (
	"context"
	"database/sql"
	"io/fs"

	"github.com/buffkit/buffkit/migrate/dialect"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	"github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/golang-migrate/migrate/v4/database/sqlite"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/pressly/goose/v3"
)

func upGoose(ctx context.Context, db *sql.DB, d dialect.Dialect, fsys fs.FS) error {
	name := goose.DialectPostgres
	if d == dialect.SQLite {
		name = goose.DialectSQLite3
	}
	p, err := goose.NewProvider(name, db, fsys)
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// upGolangMigrate doesn't close what it opens: that would close the database, which the caller does.
func upGolangMigrate(_ context.Context, db *sql.DB, d dialect.Dialect, fsys fs.FS) error {
	src, err := iofs.New(fsys, ".")
	if err != nil {
		return err
	}
	var driver database.Driver
	if d == dialect.SQLite {
		driver, err = sqlite.WithInstance(db, &sqlite.Config{})
	} else {
		driver, err = pgx.WithInstance(db, &pgx.Config{})
	}
	if err != nil {
		return err
	}
	m, err := migrate.NewWithInstance("iofs", src, d.String(), driver)
	if err != nil {
		return err
	}
	return m.Up()
}
