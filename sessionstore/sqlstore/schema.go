package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
)

// SourceName is the name of Source in the ledger of package migrate.
const SourceName = "sessionstore"

//go:embed migrations/*.sql
var files embed.FS

// Source is the schema of the store, for an app's own plan of migrations. An app that has none opens the store with Options.Migrate.
func Source() migrate.Source {
	folder, err := fs.Sub(files, "migrations")
	if err != nil {
		panic(err) // the folder is embedded
	}
	return migrate.Source{Name: SourceName, FS: folder}
}

// ErrNoSchema is returned by Open when the tables of the store aren't there.
var ErrNoSchema = errors.New("sqlstore: the session store's tables aren't in this database: open it with Options.Migrate, or add sqlstore.Source() to the app's migrations and run them")

func migrateUp(ctx context.Context, db *sql.DB, d dialect.Dialect, logger *slog.Logger) error {
	m, err := migrate.New(db, d, &migrate.Options{Sources: []migrate.Source{Source()}, AllowMissing: true, Logger: logger})
	if err == nil {
		_, err = m.Up(ctx)
	}
	return err
}

// isNoTable tells whether a statement failed since its table isn't there.
func isNoTable(err error) bool {
	text := err.Error()
	return sqlState(err) == "42P01" || strings.Contains(text, "Error 1146") || strings.Contains(text, "no such table")
}
