package cli

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"

	"github.com/buffkit/buffkit/migrate/dialect"
)

// openScratch opens an empty database to run migrations on: the one that is named, or for SQLite a temporary one; else nil.
func openScratch(url string, d dialect.Dialect) (db *sql.DB, remove func() error, err error) {
	folder := ""
	switch {
	case url == "" && d != dialect.SQLite:
		return nil, func() error { return nil }, nil
	case url == "":
		if folder, err = os.MkdirTemp("", "buffkit-scratch"); err != nil {
			return nil, nil, err
		}
		url = "sqlite:" + filepath.Join(folder, "scratch.db")
	}
	db, other, err := openDatabase(url)
	if err == nil && other != d {
		err = errors.Join(usagef("--scratch is %s, and the database is %s", other.Title(), d.Title()), db.Close())
	}
	if err != nil {
		return nil, nil, err
	}
	return db, func() error {
		err := db.Close()
		if folder != "" {
			err = errors.Join(err, os.RemoveAll(folder))
		}
		return err
	}, nil
}
