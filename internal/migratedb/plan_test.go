package migratedb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/lexer"
)

// Each of these is found before anything runs: the migration before it, which is fine, isn't applied either.
func TestNothingRunsIfAnythingIsWrong(t *testing.T) {
	t.Parallel()
	const good = "CREATE TABLE good (id int);"
	tests := []struct {
		name    string
		sources []migrate.Source
		is      error
		says    []string
	}{
		{"a statement that is cut off", src("2_b.up.sql", "CREATE TABLE b (id int);\nINSERT INTO b VALUES ('x);\n"), lexer.ErrUnterminated, []string{"2_b.up.sql:2:23"}},
		{"half a trigger", src("2_b.up.sql", "CREATE TRIGGER x AFTER INSERT ON good BEGIN\n  SELECT 1;\n"), lexer.ErrUnclosed, []string{"2_b.up.sql"}},
		{"a bad down", src("2_b.up.sql", "", "2_b.down.sql", "DROP TABLE 'b;"), lexer.ErrUnterminated, []string{"2_b.down.sql:1:12"}},
		{"a name that is none", src("b.up.sql", ""), nil, []string{"rename it to"}},
		{"a dependency that is missing", src("2_b.up.sql", "-- depends: 17\n"), migrate.ErrDepends, []string{"app:2", "app:17", "which no source has"}},
		{"a source that is missing", src("2_b.up.sql", "-- depends: auth:1\n"), migrate.ErrDepends, []string{"auth:1, which isn't applied",
			"run buffkit migrate up with the source auth first", "there is no source auth", "are app"}},
		{"a circle", []migrate.Source{
			{Name: "app", FS: files("1_a.up.sql", good, "2_b.up.sql", "-- depends: lib:2")},
			{Name: "lib", FS: files("1_x.up.sql", "-- depends: app:3", "2_y.up.sql", "")},
			{Name: "odd", FS: files("1_x.up.sql", "")},
		}, migrate.ErrDepends, nil},
		{"its own COMMIT", src("2_b.up.sql", "SELECT 1;\nCOMMIT;\nSELECT 2;\n"), migrate.ErrTransaction, []string{"2_b.up.sql:2:1", "COMMIT;"}},
		{"two transactions of its own", src("2_b.up.sql", "BEGIN;\nSELECT 1;\nCOMMIT;\nBEGIN;\nCOMMIT;"), migrate.ErrTransaction, []string{"2_b.up.sql:1:1"}},
		{"a transaction of another kind", src("2_b.up.sql", "BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE;\nSELECT 1;\nCOMMIT;"), migrate.ErrTransaction,
			[]string{"2_b.up.sql:1:1", "SET TRANSACTION"}},
		{"VACUUM in a transaction", src("2_b.up.sql", "VACUUM"), migrate.ErrTransaction, []string{"no-transaction"}},
		{"the same version twice", src("1_b.up.sql", ""), nil, []string{"its version is also that of"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db := onSQLite.open(t)
			m := migrator(t, onSQLite, db, migrate.Options{Sources: tt.sources})
			_, err := m.Up(t.Context())
			var plan *migrate.PlanError
			if !errors.As(err, &plan) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Fatalf("%v", err)
			}
			for _, want := range tt.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q isn't in:\n%v", want, err)
				}
			}
			if n := number(t, db, "SELECT count(*) FROM sqlite_master"); n != 0 {
				t.Errorf("the database has %d objects", n)
			}
			t.Logf("\n%v", err)
		})
	}
}

// src is a source with a good migration, and others.
func src(pairs ...string) []migrate.Source {
	return []migrate.Source{{FS: files(append([]string{"1_a.up.sql", "CREATE TABLE good (id int);"}, pairs...)...)}}
}

func TestTwoProgramsShareALedgerAndLeaveEachOthersAlone(t *testing.T) {
	t.Parallel()
	db := onSQLite.open(t)
	lib := migrator(t, onSQLite, db, migrate.Options{Sources: []migrate.Source{{Name: "lib", FS: files("1_l.up.sql", "CREATE TABLE l (n int)", "1_l.down.sql", "DROP TABLE l")}}})
	app := migrator(t, onSQLite, db, of(twoTables))
	for _, m := range []*migrate.Migrator{app, lib, app} {
		if _, err := m.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := app.Reset(t.Context()); err != nil || has(t, db, "users") || !has(t, db, "l") {
		t.Fatal(err)
	}
	infos, err := app.Status(t.Context())
	if err != nil || len(infos) != 3 || infos[0].Ref.Source != "lib" || infos[0].Missing {
		t.Errorf("%+v, %v", infos, err)
	}
	if _, err := app.DownTo(t.Context(), migrate.Ref{Source: "lib", Version: "0"}); err != nil || has(t, db, "l") {
		t.Errorf("a library that is gone: %v", err)
	}
}

func TestACircleIsNamed(t *testing.T) {
	t.Parallel()
	m := migrator(t, onSQLite, onSQLite.open(t), migrate.Options{Sources: []migrate.Source{
		{Name: "app", FS: files("1_a.up.sql", "", "2_b.up.sql", "-- depends: lib:2")},
		{Name: "lib", FS: files("1_x.up.sql", "-- depends: app:2", "2_y.up.sql", "")},
	}})
	err := m.Validate(t.Context())
	if !errors.Is(err, migrate.ErrCycle) || !strings.Contains(err.Error(), "app:2 depends on lib:2, which comes behind lib:1, which depends on app:2") {
		t.Errorf("%v", err)
	}
}

func TestSourcesAreOrderedByWhatTheyDependOn(t *testing.T) {
	t.Parallel()
	db := onSQLite.open(t)
	sources := []migrate.Source{
		{Name: "app", FS: files("1_a.up.sql", "", "2_b.up.sql", "-- depends: auth:02\n", "2_b.down.sql", "", "1_a.down.sql", "")},
		{Name: "auth", FS: files("1_x.up.sql", "", "2_y.up.sql", "", "3_z.up.sql", "", "1_x.down.sql", "", "2_y.down.sql", "", "3_z.down.sql", "")},
	}
	m := migrator(t, onSQLite, db, migrate.Options{Sources: sources})
	plan, err := m.Plan(t.Context(), migrate.Goal{Do: migrate.DoUp, To: &migrate.Ref{Source: "app", Version: "2"}})
	if err != nil || order(plan) != "app:1 auth:1 auth:2 app:2" {
		t.Fatalf("%v, %v", order(plan), err)
	}
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := m.DownTo(t.Context(), migrate.Ref{Source: "auth", Version: "1"}); !errors.Is(err, migrate.ErrDepends) || !strings.Contains(err.Error(), "app:2 depends on it") {
		t.Errorf("%v", err)
	}
	if plan, err = m.Plan(t.Context(), migrate.Goal{Do: migrate.DoReset}); err != nil || order(plan) != "auth:3 app:2 auth:2 auth:1 app:1" {
		t.Errorf("%v, %v", order(plan), err)
	}
}

func order(p *migrate.Plan) string {
	if p == nil {
		return ""
	}
	var all []string
	for _, s := range p.Steps {
		all = append(all, s.Ref.String())
	}
	return strings.Join(all, " ")
}

func TestPoliciesOfTheLedger(t *testing.T) {
	t.Parallel()
	const a, c = "CREATE TABLE a (id int);\n", "CREATE TABLE c (id int);\n"
	applied := files("1_a.up.sql", a, "3_c.up.sql", c)
	tests := []struct {
		name  string
		opts  migrate.Options
		is    error
		steps int
	}{
		{"a file that changed", of(files("1_a.up.sql", a+"CREATE INDEX x ON a (id);", "3_c.up.sql", c)), migrate.ErrDrift, 0},
		{"a byte order mark and CRLF are no change", of(files("1_a.up.sql", "\ufeffCREATE TABLE a (id int);\r\n", "3_c.up.sql", c)), nil, 0},
		{"leading zeros are no change", of(files("001_a.up.sql", a, "003_c.up.sql", c)), nil, 0},
		{"a file that is gone", of(files("3_c.up.sql", c)), migrate.ErrMissing, 0},
		{"a file that is gone, allowed", migrate.Options{Sources: of(files("3_c.up.sql", c)).Sources, AllowMissing: true}, nil, 0},
		{"out of order", of(files("1_a.up.sql", a, "2_b.up.sql", "", "3_c.up.sql", c)), migrate.ErrOutOfOrder, 0},
		{"out of order, allowed", migrate.Options{Sources: of(files("1_a.up.sql", a, "2_b.up.sql", "", "3_c.up.sql", c)).Sources, AllowOutOfOrder: true}, nil, 1},
		{"for another environment", migrate.Options{Sources: of(files("1_a.up.sql", a, "3_c.up.sql", c, "4_d.up.sql", "-- env: staging")).Sources, Environment: "production"}, nil, 0},
		{"for this environment", migrate.Options{Sources: of(files("1_a.up.sql", a, "3_c.up.sql", c, "4_d.up.sql", "-- env: staging")).Sources, Environment: "staging"}, nil, 1},
		{"depends on one for another environment", of(files("1_a.up.sql", a, "3_c.up.sql", c, "4_d.up.sql", "-- env: staging", "5_e.up.sql", "-- depends: 4")), migrate.ErrDepends, 0},
		{"what it depends on was applied and its file is gone", migrate.Options{Sources: of(files("3_c.up.sql", c, "4_d.up.sql", "-- depends: 1")).Sources, AllowMissing: true}, nil, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db := onSQLite.open(t)
			if _, err := migrator(t, onSQLite, db, of(applied)).Up(t.Context()); err != nil {
				t.Fatal(err)
			}
			res, err := migrator(t, onSQLite, db, tt.opts).Up(t.Context())
			if !errors.Is(err, tt.is) || tt.is == nil && err != nil {
				t.Fatalf("%v", err)
			}
			if res != nil && len(res.Steps) != tt.steps {
				t.Errorf("%d steps", len(res.Steps))
			}
		})
	}
}

func TestALedgerThatAHandHasEditedIsRefused(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		provesAtEnd(t, on, "the ledger edited by hand")
		for name, edit := range map[string]string{
			"a version that is none":   "UPDATE buffkit_migrations SET version = 'two' WHERE version = '2'",
			"one version twice":        "UPDATE buffkit_migrations SET version = '01' WHERE version = '2'",
			"a state that is none":     "UPDATE buffkit_migrations SET state = 'ok' WHERE version = '2'",
			"a column that is missing": "ALTER TABLE buffkit_migrations DROP COLUMN timings",
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				db := on.open(t)
				m := migrator(t, on, db, of(twoTables))
				if _, err := m.Up(t.Context()); err != nil {
					t.Fatal(err)
				}
				mustExec(t, db, edit)
				if _, err := m.Down(t.Context(), 1); !errors.Is(err, migrate.ErrLedger) {
					t.Errorf("%v", err)
				}
				if !has(t, db, "users") || !has(t, db, "teams") {
					t.Error("something was undone")
				}
			})
		}
		t.Run("a checksum changed", func(t *testing.T) {
			t.Parallel()
			db := on.open(t)
			m := migrator(t, on, db, of(twoTables))
			if _, err := m.Up(t.Context()); err != nil {
				t.Fatal(err)
			}
			mustExec(t, db, "UPDATE buffkit_migrations SET checksum = 'x' WHERE version = '2'")
			if _, err := m.Up(t.Context()); !errors.Is(err, migrate.ErrDrift) {
				t.Errorf("%v", err)
			}
			if infos, err := m.Status(t.Context()); err != nil || !infos[1].Drifted {
				t.Errorf("%+v, %v", infos, err)
			}
			if err := m.Repair(t.Context(), migrate.Repair{Ref: migrate.Ref{Version: "2"}, Action: migrate.RepairChecksum}); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Up(t.Context()); err != nil {
				t.Error(err)
			}
		})
		t.Run("all of it deleted", func(t *testing.T) {
			t.Parallel()
			db := on.open(t)
			m := migrator(t, on, db, of(twoTables))
			if _, err := m.Up(t.Context()); err != nil {
				t.Fatal(err)
			}
			mustExec(t, db, "DROP TABLE buffkit_migrations")
			if _, err := m.Up(t.Context()); err == nil || !strings.Contains(err.Error(), "exists") {
				t.Errorf("%v", err)
			}
			for _, version := range []migrate.Version{"1", "2"} {
				if err := m.Repair(t.Context(), migrate.Repair{Ref: migrate.Ref{Version: version}, Action: migrate.RepairApplied}); err != nil {
					t.Fatal(err)
				}
			}
			if res, err := m.Up(t.Context()); err != nil || len(res.Steps) != 0 {
				t.Errorf("%+v, %v", res, err)
			}
			if n := number(t, db, "SELECT count(*) FROM users"); n != 2 {
				t.Errorf("%d rows", n)
			}
		})
		t.Run("a row deleted", func(t *testing.T) {
			t.Parallel()
			db := on.open(t)
			m := migrator(t, on, db, of(twoTables))
			if _, err := m.Up(t.Context()); err != nil {
				t.Fatal(err)
			}
			mustExec(t, db, "DELETE FROM buffkit_migrations WHERE version = '2'")
			if _, err := m.Up(t.Context()); err == nil || !strings.Contains(err.Error(), "exists") {
				t.Errorf("%v", err)
			}
			if err := m.Repair(t.Context(), migrate.Repair{Ref: migrate.Ref{Version: "2"}, Action: migrate.RepairApplied}); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Up(t.Context()); err != nil {
				t.Error(err)
			}
		})
	})
}

// unfinished is a migration that an error has stopped behind its fourth statement.
func unfinished(t *testing.T, on target) (db *sql.DB, whole migrate.Options) {
	t.Helper()
	db = on.open(t)
	const begin = "-- no-transaction\nINSERT INTO x VALUES (1);\nCREATE TABLE a (n int);\nCREATE TABLE b (n int);\nINSERT INTO x VALUES (2);\n"
	mustExec(t, db, "CREATE TABLE x (n int)")
	_, err := migrator(t, on, db, of(files("1_a.up.sql", begin+"CREATE TABL c (n int);\n"))).Up(t.Context())
	var failed *migrate.StepError
	if !errors.As(err, &failed) || failed.Left != migrate.LeftPart || failed.Done != 4 {
		t.Fatalf("%v", err)
	}
	return db, of(files("1_a.up.sql", begin+"CREATE TABLE c (n int);\n"))
}

func TestAJournalThatAHandHasEditedIsRefusedAndRepairEndsIt(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		provesAtEnd(t, on, "the journal edited by hand")
		for name, edit := range map[string]string{
			"a gap":                       "DELETE FROM buffkit_migrations_journal WHERE first_no = 2",
			"the first deleted":           "DELETE FROM buffkit_migrations_journal WHERE first_no = 1",
			"a state that is none":        "UPDATE buffkit_migrations_journal SET state = 'ok' WHERE first_no = 2",
			"doubt in the middle":         "UPDATE buffkit_migrations_journal SET state = 'intent' WHERE first_no = 2",
			"a number that can't be":      "UPDATE buffkit_migrations_journal SET first_no = 0 WHERE first_no = 1",
			"a number that is far beyond": "UPDATE buffkit_migrations_journal SET last_no = 999999 WHERE first_no = 4",
			"another statement":           "UPDATE buffkit_migrations_journal SET marks = 'x' WHERE first_no = 3",
			"a table that is gone":        "DROP TABLE buffkit_migrations_journal",
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				db, whole := unfinished(t, on)
				mustExec(t, db, edit)
				m := migrator(t, on, db, whole)
				_, err := m.Up(t.Context())
				var plan *migrate.PlanError
				if !errors.As(err, &plan) || !errors.Is(err, migrate.ErrLedger) && !errors.Is(err, migrate.ErrDrift) {
					t.Fatalf("%v", err)
				}
				if n := number(t, db, "SELECT count(*) FROM x"); n != 2 || has(t, db, "c") {
					t.Errorf("%d rows: something ran", n)
				}
				mustExec(t, db, "CREATE TABLE c (n int)")
				if err := m.Repair(t.Context(), migrate.Repair{Ref: migrate.Ref{Version: "1"}, Action: migrate.RepairApplied}); err != nil {
					t.Fatal(err)
				}
				if res, err := m.Up(t.Context()); err != nil || len(res.Steps) != 0 {
					t.Errorf("%+v, %v", res, err)
				}
			})
		}
	})
}

// Who deletes the row of an unfinished migration wants it to begin anew, and so does RepairForget.
func TestAJournalWhoseRowWasDeletedIsForgotten(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		db, whole := unfinished(t, on)
		mustExec(t, db, "DELETE FROM buffkit_migrations", "DELETE FROM x", "DROP TABLE a", "DROP TABLE b")
		if _, err := migrator(t, on, db, whole).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := number(t, db, "SELECT count(*) FROM x"); n != 2 || !has(t, db, "c") {
			t.Errorf("%d rows", n)
		}
	})
}

func TestBaselineTakesWhatIsThereForApplied(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		db := on.open(t)
		mustExec(t, db, "CREATE TABLE users (id int)")
		m := migrator(t, on, db, of(twoTables))
		if err := m.Baseline(t.Context(), migrate.Ref{Version: "9"}); !errors.Is(err, migrate.ErrUnknown) {
			t.Errorf("at a version that isn't: %v", err)
		}
		if err := m.Baseline(t.Context(), migrate.Ref{Version: "01"}); err != nil {
			t.Fatal(err)
		}
		if err := m.Baseline(t.Context(), migrate.Ref{Version: "2"}); err == nil {
			t.Error("a second baseline")
		}
		res, err := m.Up(t.Context())
		if err != nil || len(res.Steps) != 1 || !has(t, db, "teams") {
			t.Fatalf("%v, %v", res, err)
		}
		if _, err := m.Down(t.Context(), 2); err != nil || has(t, db, "users") {
			t.Errorf("down: %v", err)
		}
	})
}

// Several statements, their rows with scripts and apps, of which two are longer than all of a statement should be.
func TestABaselineOfManyKeepsWhatEachIs(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		var pairs []string
		for i := range 150 {
			script := "-- requires-app: 1." + strconv.Itoa(i) + "\nSELECT 1;\n"
			pairs = append(pairs, fmt.Sprintf("%d_x.up.sql", i+1), script, fmt.Sprintf("%d_x.down.sql", i+1), "SELECT "+strings.Repeat("1", i)+"0;\n")
		}
		pairs[4*5+3] = "-- " + strings.Repeat("x", 900<<10) + "\nSELECT 6;\n"
		pairs[4*6+3] = "-- " + strings.Repeat("x", 900<<10) + "\nSELECT 7;\n"
		pairs = append(pairs, "151_last.up.sql", "SELECT 1;\n")
		db := on.open(t)
		opts := of(files(pairs...))
		opts.AppVersion = "2.0"
		m := migrator(t, on, db, opts)
		if err := m.Baseline(t.Context(), migrate.Ref{Version: "151"}); err != nil {
			t.Fatal(err)
		}
		infos, err := m.Status(t.Context())
		if err != nil || len(infos) != 151 || infos[150].Drifted || infos[149].RequiresApp != "1.149" || infos[149].State != migrate.Applied || infos[150].RequiresApp != "" {
			t.Fatalf("%d, %v", len(infos), err)
		}
		for version, want := range map[string]string{"1": "SELECT 0;\n", "6": pairs[4*5+3], "7": pairs[4*6+3], "150": pairs[4*149+3]} {
			var down string
			if err := db.QueryRowContext(t.Context(), "SELECT down_sql FROM buffkit_migrations WHERE version = '"+version+"'").Scan(&down); err != nil || down != want {
				t.Errorf("the script of %s has %d bytes, want %d: %v", version, len(down), len(want), err)
			}
		}
		if n := number(t, db, "SELECT count(*) FROM buffkit_migrations WHERE down_sql IS NULL"); n != 1 {
			t.Errorf("%d have no script", n)
		}
	})
}

// The time is the bubble's: each statement takes 20 s of the 30 s that one may, and there are several.
func TestABaselineMayTakeLongerThanOneStatement(t *testing.T) {
	t.Parallel()
	driverName, dsn := onSQLite.fresh(t)
	synctest.Test(t, func(t *testing.T) {
		inserted := 0
		w := &wire{before: func(_ int64, query string) {
			if strings.HasPrefix(query, "INSERT INTO \"main\".\"buffkit_migrations\" ") {
				inserted++
				time.Sleep(20 * time.Second)
			}
		}}
		db, err := w.open(driverName, dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var pairs []string
		for i := range 200 {
			pairs = append(pairs, fmt.Sprintf("%d_x.up.sql", i+1), "SELECT 1;")
		}
		if err := migrator(t, onSQLite, db, of(files(pairs...))).Baseline(t.Context(), migrate.Ref{Version: "200"}); err != nil || inserted < 2 {
			t.Errorf("%d statements: %v", inserted, err)
		}
	})
}

func TestStatusOfTenThousand(t *testing.T) {
	t.Parallel()
	var pairs []string
	for i := range 10_000 {
		pairs = append(pairs, fmt.Sprintf("%05d_x.up.sql", i+1), "SELECT 1;")
	}
	folder := inFolder(t, pairs...)
	m := migrator(t, onSQLite, onSQLite.open(t), of(os.DirFS(folder)))
	if err := m.Baseline(context.Background(), migrate.Ref{Version: "10000"}); err != nil {
		t.Fatal(err)
	}
	infos, err := m.Status(t.Context())
	if err != nil || len(infos) != 10_000 || infos[9_999].State != migrate.Applied {
		t.Fatalf("%d, %v", len(infos), err)
	}
}
