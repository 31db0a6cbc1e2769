package migratepeers

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"testing"

	"github.com/buffkit/buffkit/migrate/adopt"
	"github.com/buffkit/buffkit/migrate/dialect"

	"github.com/amacneil/dbmate/v2/pkg/dbmate"
	_ "github.com/amacneil/dbmate/v2/pkg/driver/mysql"
	_ "github.com/amacneil/dbmate/v2/pkg/driver/postgres"
	"github.com/gobuffalo/pop/v6"
	"github.com/golang-migrate/migrate/v4"
	godatabase "github.com/golang-migrate/migrate/v4/database"
	gomysql "github.com/golang-migrate/migrate/v4/database/mysql"
	gopgx "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	gosqlite "github.com/golang-migrate/migrate/v4/database/sqlite"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgx/v5"
	tern "github.com/jackc/tern/v2/migrate"
	"github.com/pressly/goose/v3"
	sqlmigrate "github.com/rubenv/sql-migrate"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/mysqldialect"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	bunmigrate "github.com/uptrace/bun/migrate"
	"github.com/uptrace/bun/schema"
)

// applied is how many of the four migrations the tool applies before it is left.
const applied = 2

// peer is a tool.
type peer struct {
	tool   adopt.Tool
	on     []dialect.Dialect
	ledger string
	// migrate applies the first two migrations of the folder.
	migrate  func(t *testing.T, on *database, fsys fs.FS) error
	versions [4]string
}

var (
	everywhere = []dialect.Dialect{dialect.SQLite, dialect.Postgres, dialect.MariaDB, dialect.MySQL}
	stamps     = [4]string{"20240101120000", "20240102120000", "20240103120000", "20240104120000"}
)

var peers = []peer{
	{adopt.Goose, everywhere, "goose_db_version", runGoose, [4]string{"1", "2", "3", "4"}},
	{adopt.GolangMigrate, everywhere, "schema_migrations", runGolangMigrate, [4]string{"1", "2", "3", "4"}},
	{adopt.SQLMigrate, everywhere, "gorp_migrations", runSQLMigrate, stamps},
	{adopt.Dbmate, everywhere, "schema_migrations", runDbmate, stamps},
	{adopt.Pop, everywhere, "schema_migration", runPop, stamps},
	{adopt.Tern, []dialect.Dialect{dialect.Postgres}, "schema_version", runTern, [4]string{"1", "2", "3", "4"}},
	{adopt.Bun, everywhere, "bun_migrations", runBun, stamps},
}

// runGoose goes one further and back, and further and back again, so that the ledger has seen a down.
func runGoose(t *testing.T, on *database, fsys fs.FS) error {
	d := map[dialect.Dialect]goose.Dialect{dialect.SQLite: goose.DialectSQLite3, dialect.Postgres: goose.DialectPostgres, dialect.MariaDB: goose.DialectMySQL,
		dialect.MySQL: goose.DialectMySQL}[on.dialect]
	p, err := goose.NewProvider(d, on.again(t, "?parseTime=true"), fsys)
	if err != nil {
		return err
	}
	for _, to := range []int64{3, 1, 2} {
		if to > 1 {
			_, err = p.UpTo(t.Context(), to)
		} else {
			_, err = p.DownTo(t.Context(), to)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func runGolangMigrate(t *testing.T, on *database, fsys fs.FS) error {
	m, err := golangMigrate(t, on, fsys)
	if err != nil {
		return err
	}
	return m.Steps(applied)
}

func golangMigrate(t *testing.T, on *database, fsys fs.FS) (*migrate.Migrate, error) {
	src, err := iofs.New(fsys, ".")
	if err != nil {
		return nil, err
	}
	var driver godatabase.Driver
	db := on.again(t, "?multiStatements=true")
	switch on.dialect {
	case dialect.SQLite:
		driver, err = gosqlite.WithInstance(db, &gosqlite.Config{})
	case dialect.Postgres:
		driver, err = gopgx.WithInstance(db, &gopgx.Config{})
	default:
		driver, err = gomysql.WithInstance(db, &gomysql.Config{})
	}
	if err != nil {
		return nil, err
	}
	m, err := migrate.NewWithInstance("iofs", src, "db", driver)
	t.Cleanup(func() {
		if m != nil {
			srcErr, dbErr := m.Close()
			if err := errors.Join(srcErr, dbErr); err != nil {
				t.Error(err)
			}
		}
	})
	return m, err
}

func runSQLMigrate(t *testing.T, on *database, fsys fs.FS) error {
	d := map[dialect.Dialect]string{dialect.SQLite: "sqlite3", dialect.Postgres: "postgres", dialect.MariaDB: "mysql", dialect.MySQL: "mysql"}[on.dialect]
	_, err := sqlmigrate.ExecMax(on.again(t, "?parseTime=true"), d, &sqlmigrate.HttpFileSystemMigrationSource{FileSystem: http.FS(fsys)}, sqlmigrate.Up, applied)
	return err
}

// runDbmate uses dbmate's library, and for SQLite, where that needs a C compiler, makes what it makes.
func runDbmate(t *testing.T, on *database, _ fs.FS) error {
	if on.dialect == dialect.SQLite {
		byHand(t, on, "CREATE TABLE IF NOT EXISTS schema_migrations (version varchar(128) primary key)", "INSERT INTO schema_migrations (version) VALUES (?)")
		return nil
	}
	u, err := url.Parse(on.url)
	if err != nil {
		return err
	}
	db := dbmate.New(u)
	db.AutoDumpSchema, db.Log, db.FS, db.MigrationsDir = false, io.Discard, folderOf(adopt.Dbmate, on.dialect, applied), []string{"."}
	return db.Migrate()
}

// byHand applies two migrations and writes their versions.
func byHand(t *testing.T, on *database, create, insert string) {
	t.Helper()
	mustExec(t, on.DB, create)
	for i, s := range steps(on.dialect)[:applied] {
		mustExec(t, on.DB, s.up...)
		if _, err := on.ExecContext(t.Context(), insert, stamps[i]); err != nil {
			t.Fatal(err)
		}
	}
}

// runPop uses pop's library, and for SQLite, which needs a build tag and a C compiler, makes what it makes.
func runPop(t *testing.T, on *database, fsys fs.FS) error {
	if on.dialect == dialect.SQLite {
		byHand(t, on, `CREATE TABLE IF NOT EXISTS "schema_migration" ("version" TEXT PRIMARY KEY); CREATE UNIQUE INDEX "schema_migration_version_idx" ON "schema_migration" (version)`,
			"INSERT INTO schema_migration (version) VALUES (?)")
		return nil
	}
	details := &pop.ConnectionDetails{URL: on.url, Pool: 2}
	if on.isMySQL() {
		details.Dialect, details.URL = "mysql", "mysql://"+on.dsn+"?parseTime=true&multiStatements=true&readTimeout=30s"
	}
	conn, err := pop.NewConnection(details)
	if err != nil {
		return err
	}
	if err := conn.Open(); err != nil {
		return err
	}
	defer conn.Close()
	box, err := pop.NewMigrationBox(fsys, conn)
	if err != nil {
		return err
	}
	_, err = box.UpTo(applied)
	return err
}

func runTern(t *testing.T, on *database, fsys fs.FS) error {
	conn, err := pgx.Connect(t.Context(), on.dsn)
	if err != nil {
		return err
	}
	defer conn.Close(t.Context())
	m, err := tern.NewMigrator(t.Context(), conn, "schema_version")
	if err != nil {
		return err
	}
	if err := m.LoadMigrations(fsys); err != nil {
		return err
	}
	return m.MigrateTo(t.Context(), applied)
}

// runBun applies the two as two groups.
func runBun(t *testing.T, on *database, _ fs.FS) error {
	var d schema.Dialect = sqlitedialect.New()
	switch on.dialect {
	case dialect.Postgres:
		d = pgdialect.New()
	case dialect.MariaDB, dialect.MySQL:
		d = mysqldialect.New()
	}
	db := bun.NewDB(on.again(t, "?parseTime=true"), d)
	for n := 1; n <= applied; n++ {
		found := bunmigrate.NewMigrations()
		if err := found.Discover(folderOf(adopt.Bun, on.dialect, n)); err != nil {
			return err
		}
		m := bunmigrate.NewMigrator(db, found)
		if err := m.Init(t.Context()); err != nil {
			return err
		}
		if _, err := m.Migrate(t.Context()); err != nil {
			return err
		}
	}
	return nil
}
