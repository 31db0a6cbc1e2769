package migratedb

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/internal/servers"
	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
)

// victim is a server of one test's own, which may be crashed and whose disk may be filled.
type victim struct {
	*servers.Server
	disk            *servers.SmallDisk
	driverName, dsn string
}

// Sizes of disks on which an empty server leaves some megabytes.
const (
	postgresDisk = 320 << 20
	mysqlDisk    = 320 << 20
)

// ownServer starts one, on a small disk if there can be one.
func ownServer(t *testing.T, on target) *victim {
	t.Helper()
	v := &victim{}
	size := int64(mysqlDisk)
	if on.dialect == dialect.Postgres {
		size = postgresDisk
	}
	parent := t.TempDir()
	disk, err := servers.NewSmallDisk(size)
	switch {
	case err == nil:
		t.Cleanup(func() {
			if err := disk.Remove(); err != nil {
				t.Error(err)
			}
		})
		v.disk, parent = disk, disk.Dir
	case !errors.Is(err, servers.ErrNoMount):
		t.Fatal(err)
	}
	v.start(t, on, parent)
	t.Cleanup(func() {
		if err := v.Stop(); err != nil {
			t.Error(err)
		}
	})
	return v
}

func (v *victim) start(t *testing.T, on target, parent string) {
	t.Helper()
	if on.dialect == dialect.Postgres {
		server, err := servers.Postgres(servers.In(parent))
		if err != nil {
			t.Fatal(err)
		}
		v.Server, v.driverName, v.dsn = server.Server, "pgx", server.URL("postgres")
		return
	}
	var dsn func(string) string
	if on.dialect == dialect.MySQL {
		server, err := servers.MySQL(servers.In(parent))
		if err != nil {
			t.Fatal(err)
		}
		v.Server, dsn = server.Server, server.DSN
	} else {
		server, err := servers.MariaDB(servers.In(parent))
		if err != nil {
			t.Fatal(err)
		}
		v.Server, dsn = server.Server, server.DSN
	}
	admin := openDB(t, "mysql", dsn(""))
	mustExec(t, admin, "CREATE DATABASE app")
	if err := admin.Close(); err != nil { // before the server is crashed: to close a broken connection is an error
		t.Fatal(err)
	}
	v.driverName, v.dsn = "mysql", dsn("app")
}

// A test of its own for each fault would start as many servers.
func TestAfterAServerWasStoppedCrashedOrFullTheNextUpFinishes(t *testing.T) {
	overNetwork(t, func(t *testing.T, on target) {
		v := ownServer(t, on)
		for _, s := range samples(on) {
			t.Run("crashes, "+s.name, func(t *testing.T) { restarts(t, on, v, s, "crashes", places(), v.Kill) })
			t.Run("stops, "+s.name, func(t *testing.T) { restarts(t, on, v, s, "is stopped in order", []int{7}, v.Halt) })
		}
		t.Run("disk full", func(t *testing.T) { v.fillsUp(t, on) })
	})
}

// places are the statements of twelve before which a slow fault happens.
func places() []int {
	if thorough() {
		return []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	}
	return []int{1, 3, 12}
}

// restarts ends a server in the middle of a migration, and starts it again.
func restarts(t *testing.T, on target, v *victim, s sample, fault string, statements []int, end func() error) {
	folder := inFolder(t, s.pairs...)
	told := map[migrate.Left]int{}
	for _, at := range statements {
		opts := of(dirFS(folder))
		ended := false
		opts.Hooks.Statement = func(p migrate.Progress) {
			if p.N == at && p.Step.Statements == 12 && !p.Done && !ended {
				ended = true
				if err := errors.Join(end(), v.Start()); err != nil {
					t.Error(err)
				}
			}
		}
		db := openDB(t, v.driverName, v.dsn)
		_, err := migrator(t, on, db, opts).Up(t.Context())
		var failed *migrate.StepError
		if !ended || !errors.As(err, &failed) {
			t.Fatalf("at %d: %v", at, err)
		}
		told[failed.Left]++
		toldTheTruth(t, openDB(t, v.driverName, v.dsn), at, failed)
		finishes(t, on, v.driverName, v.dsn, folder, at)
	}
	t.Logf("told: %v", told)
	proves(t, on, "the server "+fault+" and comes back, "+s.name, len(statements))
}

// bulky is a migration that needs room with each statement. Its rows are 2 to 11, a megabyte each.
func bulky(on target) string {
	var b strings.Builder
	switch on.dialect {
	case dialect.Postgres:
		b.WriteString("CREATE TABLE t (n int NOT NULL, b text);\nALTER TABLE t ALTER COLUMN b SET STORAGE EXTERNAL;\n")
	case dialect.SQLite:
		b.WriteString("CREATE TABLE t (n int NOT NULL, b text);\nCREATE TABLE u (n int);\n")
	default:
		b.WriteString("CREATE TABLE t (n int NOT NULL, b longtext);\nCREATE TABLE u (n int);\n")
	}
	for n := 2; n <= 11; n++ {
		text := "repeat('x', 1000000)"
		if on.dialect == dialect.SQLite {
			text = "hex(zeroblob(500000))"
		}
		fmt.Fprintf(&b, "INSERT INTO t VALUES (%d, %s);\n", n, text)
	}
	return b.String()
}

// fillsUp fills the disk before each statement.
func (v *victim) fillsUp(t *testing.T, on target) {
	if v.disk == nil {
		provesAtEnd(t, on, "the disk is full, no transaction")
		t.Skip(servers.ErrNoMount)
	}
	for _, header := range []string{"", "-- no-transaction\n"} {
		name := "a transaction"
		if header != "" || isMySQL(on) {
			name = "no transaction"
		}
		fails, tried := 0, places()
		for _, at := range tried {
			if v.fillsUpAt(t, on, header+bulky(on), at) {
				fails++
			}
		}
		if fails < len(tried)*2/3 {
			t.Errorf("it failed at %d of %d statements: the disk wasn't full", fails, len(tried))
		}
		proves(t, on, "the disk is full, "+name, fails)
		if isMySQL(on) {
			return
		}
	}
}

// fillsUpAt tells whether the run failed.
func (v *victim) fillsUpAt(t *testing.T, on target, script string, at int) bool {
	t.Helper()
	driverName, dsn := v.driverName, v.dsn
	path := filepath.Join(v.disk.Dir, "app.db")
	if on.dialect == dialect.SQLite {
		dsn = "file:" + path
	}
	opts := of(files("1_bulky.up.sql", script, "1_bulky.down.sql", "DROP TABLE t;\n"))
	opts.Hooks.Statement = func(p migrate.Progress) {
		if p.N == at && !p.Done {
			if err := v.disk.Fill(); err != nil {
				t.Error(err)
			}
		}
	}
	db := openDB(t, driverName, dsn)
	_, err := migrator(t, on, db, opts).Up(t.Context())
	if err := v.disk.MakeRoom(); err != nil {
		t.Fatal(err)
	}
	v.revive(t, on, db)
	var failed *migrate.StepError
	if err != nil {
		t.Logf("at %d: %v", at, err)
	}
	if errors.As(err, &failed) {
		toldOfRoom(t, db, at, failed)
	}
	if on.dialect == dialect.SQLite && has(t, db, "buffkit_migrations_lock") {
		mustExec(t, db, "DELETE FROM buffkit_migrations_lock") // there was no room to give it back; the end of the process would do
	}
	opts.Hooks = migrate.Hooks{}
	m := migrator(t, on, db, opts)
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatalf("at %d, the next up: %v", at, err)
	}
	if n := number(t, db, "SELECT count(*) * 1000 + sum(n) FROM t WHERE length(b) = 1000000"); n != 10*1000+65 {
		t.Fatalf("at %d: the rows are %d", at, n)
	}
	if _, err := m.Down(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if on.wipe != nil {
		mustExec(t, db, on.wipe...)
		return err != nil
	}
	if err := errors.Join(db.Close(), os.Remove(path)); err != nil {
		t.Fatal(err)
	}
	return err != nil
}

// revive starts a server that didn't survive.
func (v *victim) revive(t *testing.T, on target, db *sql.DB) {
	t.Helper()
	if on.dialect == dialect.SQLite {
		return
	}
	if err := db.PingContext(t.Context()); err == nil {
		return
	}
	t.Logf("the server didn't survive:\n%s", last(v.Log(), 2000))
	if err := errors.Join(v.Kill(), v.Start()); err != nil {
		t.Fatal(err)
	}
}

// toldOfRoom compares what the run says with what is there.
func toldOfRoom(t *testing.T, db *sql.DB, at int, failed *migrate.StepError) {
	t.Helper()
	rows, table := 0, has(t, db, "t")
	if table {
		rows = number(t, db, "SELECT count(*) FROM t")
	}
	switch failed.Left {
	case migrate.LeftNothing:
		if table {
			t.Fatalf("at %d it says that nothing is left, and the table is: %v", at, failed)
		}
	case migrate.LeftPart:
		if table != (failed.Done >= 1) || rows != max(0, failed.Done-2) {
			t.Fatalf("at %d it says that %d statements are done, and there are %d rows: %v", at, failed.Done, rows, failed)
		}
	case migrate.LeftUnclear:
	default:
		t.Fatalf("at %d: %v", at, failed)
	}
}

func TestAfterSQLitesDiskWasFullTheNextUpFinishes(t *testing.T) {
	t.Parallel()
	disk, err := servers.NewSmallDisk(40 << 20)
	if errors.Is(err, servers.ErrNoMount) {
		provesAtEnd(t, onSQLite, "the disk is full, no transaction")
		t.Skip(err) // TestAFullDiskLeavesNothing is instead
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := disk.Remove(); err != nil {
			t.Error(err)
		}
	})
	v := &victim{disk: disk, driverName: "sqlite"}
	v.fillsUp(t, onSQLite)
}

func last(text string, n int) string { return text[max(0, len(text)-n):] }
