package migratedb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/buffkit/buffkit/migrate"
)

const family = `CREATE TABLE parents (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE children (id INTEGER PRIMARY KEY, parent INTEGER NOT NULL REFERENCES parents (id) ON DELETE CASCADE);
INSERT INTO parents VALUES (1, 'a'), (2, 'b');
INSERT INTO children VALUES (10, 1), (11, 1), (12, 2);
`

const rebuild = `CREATE TABLE parents_new (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
INSERT INTO parents_new SELECT id, name FROM parents;
DROP TABLE parents;
ALTER TABLE parents_new RENAME TO parents;
`

// The fault that other runners record as success: research calls it the most expensive one.
func TestARebuildKeepsTheChildren(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"as it stands":                      rebuild,
		"with the pragma within":            "PRAGMA foreign_keys=OFF;\n" + rebuild + "PRAGMA foreign_keys=ON;\n",
		"with a transaction of its own":     "PRAGMA foreign_keys=OFF;\nBEGIN;\n" + rebuild + "COMMIT;\nPRAGMA foreign_keys=ON;\n",
		"with other quotes":                 strings.ReplaceAll(rebuild, "parents_new", "[parents_new]"),
		"into a table of the name at last":  "CREATE TABLE old AS SELECT * FROM parents;\nDROP TABLE parents;\nCREATE TABLE \"parents\" (id INTEGER PRIMARY KEY, name TEXT);\nINSERT INTO parents SELECT * FROM old;\nDROP TABLE old;\n",
		"that is undone by the down of one": rebuild,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			driverName, dsn := onSQLite.fresh(t)
			db := openDB(t, driverName, dsn+"?_pragma=foreign_keys(1)")
			m := migrator(t, onSQLite, db, of(files("1_family.up.sql", family, "2_rebuild.up.sql", script, "2_rebuild.down.sql", rebuild)))
			if _, err := m.Up(t.Context()); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(name, "down") {
				if _, err := m.Down(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
			}
			if n := number(t, db, "SELECT count(*) FROM children"); n != 3 {
				t.Errorf("%d children are left of 3", n)
			}
			if n := number(t, db, "PRAGMA foreign_keys"); n != 1 {
				t.Error("foreign keys are off behind it")
			}
		})
	}
}

func TestARebuildThatBreaksReferencesIsRolledBack(t *testing.T) {
	t.Parallel()
	driverName, dsn := onSQLite.fresh(t)
	db := openDB(t, driverName, dsn+"?_pragma=foreign_keys(1)")
	bad := strings.Replace(rebuild, "FROM parents;", "FROM parents WHERE id = 1;", 1)
	m := migrator(t, onSQLite, db, of(files("1_family.up.sql", family, "2_rebuild.up.sql", bad)))
	_, err := m.Up(t.Context())
	var failed *migrate.StepError
	if !errors.Is(err, migrate.ErrForeignKeys) || !errors.As(err, &failed) || failed.Left != migrate.LeftNothing {
		t.Fatalf("%v", err)
	}
	t.Logf("\n%v", err)
	if n := number(t, db, "SELECT count(*) FROM parents"); n != 2 {
		t.Errorf("%d parents", n)
	}
	t.Run("but those that were broken before don't count", func(t *testing.T) {
		loose := openDB(t, driverName, dsn)
		mustExec(t, loose, "INSERT INTO children VALUES (99, 999)")
		mustExec(t, loose, "CREATE TABLE toys (child int REFERENCES children)", "INSERT INTO toys VALUES (7)")
		mended := migrator(t, onSQLite, db, of(files("1_family.up.sql", family, "2_rebuild.up.sql", "DELETE FROM toys;\n"+bad)))
		if _, err := mended.Up(t.Context()); !errors.Is(err, migrate.ErrForeignKeys) {
			t.Errorf("one reference of another table is mended, and one is broken: %v", err)
		}
		good := migrator(t, onSQLite, db, of(files("1_family.up.sql", family, "2_rebuild.up.sql", rebuild)))
		if _, err := good.Up(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestOutsideOfARebuildDeletionsCascadeAsTheConnectionHasIt(t *testing.T) {
	t.Parallel()
	driverName, dsn := onSQLite.fresh(t)
	db := openDB(t, driverName, dsn+"?_pragma=foreign_keys(1)")
	m := migrator(t, onSQLite, db, of(files("1_family.up.sql", family, "2_less.up.sql", "DELETE FROM parents WHERE id = 1;")))
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := number(t, db, "SELECT count(*) FROM children"); n != 1 {
		t.Errorf("%d children", n)
	}
}

func TestADatabaseInMemoryNeedsOneConnection(t *testing.T) {
	t.Parallel()
	db := openDB(t, "sqlite", ":memory:")
	db.SetMaxOpenConns(1)
	m := migrator(t, onSQLite, db, of(files("1_a.up.sql", "PRAGMA cache_size = 100;\nCREATE TABLE a (n int);\n", "2_b.up.sql", "-- no-transaction\nVACUUM;\nCREATE TABLE b (n int);\n")))
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !has(t, db, "a") || !has(t, db, "b") {
		t.Error("the tables aren't there")
	}
	if infos, err := m.Status(t.Context()); err != nil || len(infos) != 2 || infos[1].State != migrate.Applied {
		t.Errorf("%+v, %v", infos, err)
	}
}

func TestWriteAheadLogIsTurnedOnOutsideOfATransaction(t *testing.T) {
	t.Parallel()
	db := onSQLite.open(t)
	m := migrator(t, onSQLite, db, of(files("1_wal.up.sql", "-- no-transaction\nPRAGMA journal_mode = WAL;\n", "2_a.up.sql", "CREATE TABLE a (n int);")))
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	var mode string
	if err := db.QueryRowContext(t.Context(), "PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("%s, %v", mode, err)
	}
}

// SQLite gives up after a while where another connection has locked the file. Whoever looks waits on, as those who write do.
func TestALockedFileIsWaitedForByAllWhoLook(t *testing.T) {
	t.Parallel()
	driverName, dsn := onSQLite.fresh(t)
	fsys := files("1_a.up.sql", "CREATE TABLE a (n int);")
	if _, err := migrator(t, onSQLite, openDB(t, driverName, dsn), of(fsys)).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	other, err := openDB(t, driverName, dsn).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.ExecContext(t.Context(), "BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for name, look := range map[string]func(m *migrate.Migrator) error{
		"up": func(m *migrate.Migrator) error { _, err := m.Up(t.Context()); return err },
		"plan": func(m *migrate.Migrator) error {
			_, err := m.Plan(t.Context(), migrate.Goal{Do: migrate.DoUp})
			return err
		},
		"status":   func(m *migrate.Migrator) error { _, err := m.Status(t.Context()); return err },
		"version":  func(m *migrate.Migrator) error { _, err := m.Version(t.Context()); return err },
		"slowest":  func(m *migrate.Migrator) error { _, err := m.Slowest(t.Context(), 1); return err },
		"validate": func(m *migrate.Migrator) error { return m.Validate(t.Context()) },
		"app":      func(m *migrate.Migrator) error { return m.CheckApp(t.Context()) },
		"wait":     func(m *migrate.Migrator) error { return m.Wait(t.Context()) },
		"baseline": func(m *migrate.Migrator) error {
			return m.Baseline(t.Context(), migrate.Ref{Source: "other", Version: "1"})
		},
		"dump": func(m *migrate.Migrator) error { _, err := m.Dump(t.Context(), io.Discard); return err },
	} {
		opts := of(fsys)
		if name == "baseline" { // it takes the lock before it reads
			opts.Sources = []migrate.Source{{Name: "other", FS: fsys}}
		}
		m := migrator(t, onSQLite, openDB(t, driverName, dsn), opts)
		all.Go(func() {
			if err := look(m); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	<-time.After(3 * time.Second) // the runner lets SQLite itself wait for two
	if _, err := other.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Error(err)
	}
	all.Wait()
}

// dozen are the statements of twelve, each a migration.
func dozen() (pairs []string) {
	for i, statement := range strings.Split(strings.TrimSpace(twelve("")), "\n") {
		pairs = append(pairs, fmt.Sprintf("%d_step.up.sql", i+1), statement+"\n")
	}
	return append(pairs, "12_step.down.sql", "DROP INDEX t_n;\n")
}

// Where there are many migrations the rollback journal is kept from one to the next. It is a file beside the database.
func TestTheJournalIsKeptBetweenManyMigrationsAndNotBehindThem(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, before, more, kept, after string }{
		{"as SQLite does by default", "DELETE", "", "yes", "delete"},
		{"in a mode that the database has", "WAL", "", "no", "wal"},
		{"in a mode that a migration sets", "DELETE", "-- no-transaction\nPRAGMA journal_mode = WAL;\n", "yes", "wal"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			driverName, dsn := onSQLite.fresh(t)
			db := openDB(t, driverName, dsn)
			db.SetMaxOpenConns(1)
			if mode := text(t, db, "PRAGMA journal_mode = "+tt.before); !strings.EqualFold(mode, tt.before) {
				t.Fatal(mode)
			}
			pairs := dozen()
			if tt.more != "" {
				pairs = append(pairs, "13_more.up.sql", tt.more)
			}
			path := strings.TrimPrefix(dsn, "file:") + "-journal"
			kept := "no"
			opts := of(files(pairs...))
			opts.Hooks.Ended = func(s *migrate.Step, _ migrate.StepResult, _ error) {
				if _, err := os.Stat(path); s.Ref.Version == "6" && err == nil {
					kept = "yes"
				}
			}
			if _, err := migrator(t, onSQLite, db, opts).Up(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(path); kept != tt.kept || err == nil {
				t.Errorf("within the run it was kept: %s; behind it: %v", kept, err)
			}
			if mode := text(t, db, "PRAGMA journal_mode"); mode != tt.after {
				t.Errorf("the mode is %s", mode)
			}
		})
	}
}

func TestTheJournalOfALargeMigrationIsCutOffBehindIt(t *testing.T) {
	t.Parallel()
	driverName, dsn := onSQLite.fresh(t)
	db := openDB(t, driverName, dsn)
	db.SetMaxOpenConns(1)
	pairs := append(dozen(), "13_large.up.sql", "CREATE TABLE large (n int, t text);\nWITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 4000)"+
		" INSERT INTO large SELECT x, hex(zeroblob(400)) FROM c;\n", "14_change.up.sql", "UPDATE large SET n = n + 1;\n")
	var size int64
	opts := of(files(pairs...))
	opts.Hooks.Ended = func(s *migrate.Step, _ migrate.StepResult, _ error) {
		if info, err := os.Stat(strings.TrimPrefix(dsn, "file:") + "-journal"); s.Ref.Version == "14" && err == nil {
			size = info.Size()
		}
	}
	if _, err := migrator(t, onSQLite, db, opts).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if size == 0 || size > 1<<20 {
		t.Errorf("%d bytes are kept", size)
	}
	if limit := text(t, db, "PRAGMA journal_size_limit"); limit != "-1" {
		t.Errorf("the connection goes back with a limit of %s", limit)
	}
}

func TestAfterKillMinus9AmongManyMigrationsTheNextUpFinishes(t *testing.T) {
	t.Parallel()
	folder := inFolder(t, dozen()...)
	driverName, dsn := onSQLite.fresh(t)
	said := says(t, onSQLite, driverName, dsn, folder, upGoal)
	at, killed := placesOf(said, every(t, len(said), manyEvery)), 0
	for _, p := range at {
		driverName, dsn := onSQLite.fresh(t)
		if killedAt(t, runnerTo(t, p, onSQLite, driverName, dsn, folder, "up")) {
			killed++
		} else {
			p.missed(t)
		}
		finishes(t, onSQLite, driverName, dsn, folder, p.n)
	}
	if len(said) < 50 {
		t.Errorf("only %d boundaries", len(said))
	}
	mostly(t, killed, len(at), len(said))
	proves(t, onSQLite, "kill -9 of the runner, among many migrations", killed)
}

func TestOnlyWhatChangesRowsIsSaidToHaveChangedSome(t *testing.T) {
	t.Parallel()
	m := migrator(t, onSQLite, onSQLite.open(t), of(files("1_a.up.sql", "CREATE TABLE a (n int);\n-- three\nINSERT INTO a VALUES (1), (2), (3);\nCREATE TABLE b (n int);\n")))
	res, err := m.Up(t.Context())
	if err != nil || res.Steps[0].Rows != 3 || res.Steps[0].Statements[2].Rows != 0 {
		t.Errorf("%+v %v", res, err)
	}
}

func TestAFullDiskLeavesNothing(t *testing.T) {
	t.Parallel()
	provesAtEnd(t, onSQLite, "the database may not grow")
	driverName, dsn := onSQLite.fresh(t)
	db := openDB(t, driverName, dsn)
	if _, err := migrator(t, onSQLite, db, of(files("1_a.up.sql", "CREATE TABLE a (t text);"))).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	small := openDB(t, driverName, dsn+"?_pragma=max_page_count(40)")
	set := of(files("1_a.up.sql", "CREATE TABLE a (t text);", "2_b.up.sql", "CREATE TABLE b (n int);\nINSERT INTO a VALUES (hex(zeroblob(1000000)));\n"))
	_, err := migrator(t, onSQLite, small, set).Up(t.Context())
	var failed *migrate.StepError
	if !errors.As(err, &failed) || failed.Left != migrate.LeftNothing || !strings.Contains(err.Error(), "make room") || has(t, db, "b") {
		t.Fatalf("%v", err)
	}
	if _, err := migrator(t, onSQLite, db, set).Up(context.Background()); err != nil {
		t.Errorf("the next up: %v", err)
	}
}

func TestAReadOnlyDatabaseIsSaidToBeOne(t *testing.T) {
	t.Parallel()
	provesAtEnd(t, onSQLite, "a user without the right to write")
	driverName, dsn := onSQLite.fresh(t)
	mustExec(t, openDB(t, driverName, dsn), "CREATE TABLE x (n int)")
	db := openDB(t, driverName, dsn+"?mode=ro")
	_, err := migrator(t, onSQLite, db, of(twoTables)).Up(t.Context())
	if err == nil || !strings.Contains(err.Error(), "readonly") {
		t.Errorf("%v", err)
	}
	if infos, err := migrator(t, onSQLite, db, of(twoTables)).Status(t.Context()); err != nil || len(infos) != 2 {
		t.Errorf("status: %v, %v", infos, err)
	}
}
