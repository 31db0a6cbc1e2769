package migratedb

import (
	"database/sql"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/buffkit/buffkit/migrate"
)

var three = []string{
	"1_users.up.sql", "CREATE TABLE users (id int PRIMARY KEY);\n", "1_users.down.sql", "DROP TABLE users;\n",
	"2_name.up.sql", "ALTER TABLE users ADD COLUMN name varchar(50);\nCREATE TABLE temporary (id int);\n", "2_name.down.sql", "DROP TABLE temporary;\nALTER TABLE users DROP COLUMN name;\n",
	"3_drop.up.sql", "DROP TABLE temporary;\nCREATE INDEX users_name ON users (name);\n",
}

var fourth = []string{"4_teams.up.sql", "-- depends: 2\nCREATE TABLE teams (id int);\n", "4_teams.down.sql", "DROP TABLE teams;\n"}

// squashed is the folder with one file in the place of three.
func squashed(q *migrate.Squash, more ...string) fs.FS {
	fsys := files(more...).(fstest.MapFS)
	fsys[q.Path] = &fstest.MapFile{Data: []byte(q.SQL)}
	return fsys
}

func mustUp(t *testing.T, m *migrate.Migrator, steps int) {
	t.Helper()
	if res, err := m.Up(t.Context()); err != nil || len(res.Steps) != steps {
		t.Fatalf("%+v, %v", res, err)
	}
}

func TestASquashIsAppliedWhereItsMigrationsWereAndRunsWhereNoneWas(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		db, fresh := on.open(t), on.open(t)
		old := migrator(t, on, db, of(files(slices.Concat(three, fourth)...)))
		mustUp(t, old, 4)
		q, err := old.Squash(t.Context(), migrate.Ref{Version: "3"}, &migrate.SquashOptions{Scratch: on.open(t)})
		if err != nil || q.Ref.String() != "app:3" || len(q.Replaces) != 5 || q.Path != "3_squash."+on.dialect.String()+".up.sql" {
			t.Fatalf("%+v, %v", q, err)
		}
		t.Logf("\n%s", q.SQL)
		now := of(squashed(q, append(fourth, "5_more.up.sql", "-- depends: 3\nCREATE TABLE more (id int);")...))
		mustUp(t, migrator(t, on, db, now), 1)
		mustUp(t, migrator(t, on, fresh, now), 3)
		if a, b := dump(t, on, db), dump(t, on, fresh); a != b {
			t.Errorf("the databases differ:\n%s", differ(a, b))
		}
		for _, d := range []*migrate.Migrator{migrator(t, on, db, now), migrator(t, on, fresh, now)} {
			infos, err := d.Status(t.Context())
			if err != nil || slices.ContainsFunc(infos, func(i migrate.Info) bool { return i.State != migrate.Applied || i.Missing || i.Drifted }) {
				t.Errorf("%+v, %v", infos, err)
			}
		}
		mustUp(t, migrator(t, on, db, of(files(slices.Concat(three, fourth, []string{"5_more.up.sql", "-- depends: 3\nCREATE TABLE more (id int);"})...))), 0) // a program that wasn't replaced yet
	})
}

func TestADatabaseWithAPartOfASquashRefusesIt(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		db, half := on.open(t), on.open(t)
		old := migrator(t, on, db, of(files(three...)))
		mustUp(t, old, 3)
		q, err := old.Squash(t.Context(), migrate.Ref{Version: "3"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		mustUp(t, migrator(t, on, half, of(files(three[:8]...))), 2)
		m := migrator(t, on, half, of(squashed(q)))
		if _, err := m.Up(t.Context()); !errors.Is(err, migrate.ErrSquash) || !strings.Contains(err.Error(), "of which this database has 2") {
			t.Fatalf("%v", err)
		}
		// The scripts that the ledger kept are the way down, and then the squash is new.
		if _, err := m.DownTo(t.Context(), migrate.Ref{Version: "0"}); err != nil {
			t.Fatal(err)
		}
		mustUp(t, m, 1)
		if a, b := dump(t, on, db), dump(t, on, half); a != b {
			t.Errorf("the databases differ:\n%s", differ(a, b))
		}
	})
}

func TestASquashOfASquashStandsForBoth(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		first, second := on.open(t), on.open(t)
		old := migrator(t, on, first, of(files(three...)))
		mustUp(t, old, 3)
		q, err := old.Squash(t.Context(), migrate.Ref{Version: "3"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		next := of(squashed(q, fourth...))
		mustUp(t, migrator(t, on, first, next), 1)
		mustUp(t, migrator(t, on, second, next), 2)
		again, err := migrator(t, on, second, next).Squash(t.Context(), migrate.Ref{Version: "4"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, db := range []migrate.Options{of(squashed(again))} {
			mustUp(t, migrator(t, on, first, db), 0)
			mustUp(t, migrator(t, on, second, db), 0)
			mustUp(t, migrator(t, on, on.open(t), db), 1)
		}
	})
}

// late are three of which the second one was merged last.
var late = []string{"1_a.up.sql", "CREATE TABLE a (id int);\n", "3_c.up.sql", "CREATE TABLE c (id int);\n", "2_b.up.sql", "CREATE TABLE b (id int);\n"}

// mustSquash returns the squash of all migrations up to a version, made on a database of its own.
func mustSquash(t *testing.T, fsys fs.FS, to migrate.Version) *migrate.Squash {
	t.Helper()
	m := migrator(t, onSQLite, onSQLite.open(t), of(fsys))
	if _, err := m.UpTo(t.Context(), migrate.Ref{Version: to}); err != nil {
		t.Fatal(err)
	}
	q, err := m.Squash(t.Context(), migrate.Ref{Version: to}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// mustLack wants a database to be refused for what it doesn't have.
func mustLack(t *testing.T, m *migrate.Migrator, versions ...migrate.Version) {
	t.Helper()
	text := "it lacks app:" + string(versions[0])
	for _, v := range versions[1:] {
		text += ", app:" + string(v)
	}
	_, err := m.Up(t.Context())
	for _, err := range []error{err, m.Validate(t.Context())} {
		if !errors.Is(err, migrate.ErrSquash) || !strings.Contains(err.Error(), text+"\n") {
			t.Errorf("want %q: %v", text, err)
		}
	}
	infos, err := m.Status(t.Context())
	if err != nil || !slices.ContainsFunc(infos, func(i migrate.Info) bool { return slices.Equal(i.Lacks, versions) }) {
		t.Errorf("%+v, %v", infos, err)
	}
}

func TestASquashWhoseVersionIsAppliedSkipsNoMigrationThatIsNot(t *testing.T) {
	t.Parallel()
	db := onSQLite.open(t)
	mustUp(t, migrator(t, onSQLite, db, of(files(late[:4]...))), 2)
	q := mustSquash(t, files(late...), "3")
	now := migrator(t, onSQLite, db, of(squashed(q)))
	mustLack(t, now, "2")
	more := migrator(t, onSQLite, db, of(squashed(q, "4_d.up.sql", "CREATE TABLE d (id int);")))
	if _, err := more.UpTo(t.Context(), migrate.Ref{Version: "4"}); !errors.Is(err, migrate.ErrSquash) {
		t.Errorf("%v", err)
	}
	if _, err := more.Squash(t.Context(), migrate.Ref{Version: "4"}, nil); err == nil || !strings.Contains(err.Error(), "app:3 stands for app:2, which this database doesn't have") {
		t.Errorf("%v", err)
	}
	before := of(files(late...)) // the release before
	before.AllowOutOfOrder = true
	mustUp(t, migrator(t, onSQLite, db, before), 1)
	mustUp(t, now, 0)
	mustUp(t, more, 1)
}

func TestASquashIsRefusedWhereOneOfItsMigrationsIsUnfinished(t *testing.T) {
	t.Parallel()
	db := onSQLite.open(t)
	mustUp(t, migrator(t, onSQLite, db, of(files(late...))), 3)
	mustExec(t, db, "UPDATE buffkit_migrations SET state = 'applying' WHERE version = '2'")
	mustLack(t, migrator(t, onSQLite, db, of(squashed(mustSquash(t, files(late...), "3")))), "2")
}

func TestWhoSaysThatNothingIsLackingIsBelieved(t *testing.T) {
	t.Parallel()
	db := onSQLite.open(t)
	mustUp(t, migrator(t, onSQLite, db, of(files(late[:4]...))), 2)
	mustExec(t, db, "CREATE TABLE b (id int)")
	m := migrator(t, onSQLite, db, of(squashed(mustSquash(t, files(late...), "3"))))
	mustLack(t, m, "2")
	if err := m.Repair(t.Context(), migrate.Repair{Ref: migrate.Ref{Version: "3"}, Action: migrate.RepairChecksum}); err != nil {
		t.Fatal(err)
	}
	mustUp(t, m, 0)
}

// The row of an inner squash stands for what that one stood for, and not for what was merged below it later.
func TestASquashOfASquashSkipsNoMigrationThatCameBetween(t *testing.T) {
	t.Parallel()
	first, ran := onSQLite.open(t), onSQLite.open(t)
	mustUp(t, migrator(t, onSQLite, first, of(files(late[:4]...))), 2)
	inner := mustSquash(t, files(late[:4]...), "3")
	mustUp(t, migrator(t, onSQLite, ran, of(squashed(inner))), 1)
	opts := of(squashed(inner, late[4:]...))
	opts.AllowOutOfOrder = true
	mustUp(t, migrator(t, onSQLite, first, opts), 1)
	outer, err := migrator(t, onSQLite, first, opts).Squash(t.Context(), migrate.Ref{Version: "3"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	mustUp(t, migrator(t, onSQLite, first, of(squashed(outer))), 0)
	mustUp(t, migrator(t, onSQLite, onSQLite.open(t), of(squashed(outer))), 1)
	mustLack(t, migrator(t, onSQLite, ran, of(squashed(outer))), "2")
	mustUp(t, migrator(t, onSQLite, ran, opts), 1)
	mustUp(t, migrator(t, onSQLite, ran, of(squashed(outer))), 0)

	again := mustSquash(t, squashed(outer, fourthAlone...), "4") // three deep
	for _, db := range []*sql.DB{first, ran} {
		mustUp(t, migrator(t, onSQLite, db, of(squashed(outer, fourthAlone...))), 1)
		mustUp(t, migrator(t, onSQLite, db, of(squashed(again))), 0)
	}
	mustExec(t, ran, "DELETE FROM buffkit_migrations WHERE version = '2'")
	mustLack(t, migrator(t, onSQLite, ran, of(squashed(again))), "2")
}

var fourthAlone = []string{"4_d.up.sql", "CREATE TABLE d (id int);\n"}

func TestAdoptingUnderASquashNeedsAllThatItStandsFor(t *testing.T) {
	t.Parallel()
	q := mustSquash(t, files(late...), "3")
	adopt := func(versions ...migrate.Version) error {
		a := migrate.Adoption{Origin: "tool"}
		for _, v := range versions {
			a.Applied = append(a.Applied, migrate.Adopted{Version: v})
		}
		_, err := migrator(t, onSQLite, onSQLite.open(t), of(squashed(q))).Adopt(t.Context(), a)
		return err
	}
	for _, part := range [][]migrate.Version{{"1"}, {"3"}, {"1", "3"}} {
		if err := adopt(part...); !errors.Is(err, migrate.ErrSquash) {
			t.Errorf("%v: %v", part, err)
		}
	}
	if err := adopt("1", "2", "3"); err != nil {
		t.Error(err)
	}
}

func TestASquashNeedsTheNewestAppOfItsMigrations(t *testing.T) {
	t.Parallel()
	q := mustSquash(t, files("1_a.up.sql", "-- requires-app: 1.9.0\nCREATE TABLE a (id int);", "2_b.up.sql", "-- requires-app: 1.10.0\nCREATE TABLE b (id int);",
		"3_c.up.sql", "CREATE TABLE c (id int);"), "3")
	opts := of(squashed(q))
	opts.AppVersion = "1.9.5"
	db := onSQLite.open(t)
	if _, err := migrator(t, onSQLite, db, opts).Up(t.Context()); !errors.Is(err, migrate.ErrApp) || !strings.Contains(err.Error(), "1.10.0") {
		t.Errorf("%v", err)
	}
	opts.AppVersion = "1.10.0"
	mustUp(t, migrator(t, onSQLite, db, opts), 1)
}

func TestEverythingCanBeSquashed(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		db := on.open(t)
		up := "-- no-transaction\n" + everything(t, on)
		if on.name == "postgres" {
			up = strings.ReplaceAll(up, "-- no-transaction\n", "")
			up = strings.Replace(up, "ALTER TYPE mood ADD VALUE 'meh' BEFORE 'happy';", "", 1)
			up = strings.Replace(up, "'it''s ok',", "'it''s ok', 'meh',", 1)
		}
		m := migrator(t, on, db, of(files("1_all.up.sql", up, "2_more.up.sql", "CREATE TABLE more (id int);")))
		mustUp(t, m, 2)
		q, err := m.Squash(t.Context(), migrate.Ref{Version: "2"}, &migrate.SquashOptions{WithoutData: true})
		if err != nil {
			t.Fatal(err)
		}
		fresh := on.open(t)
		mustUp(t, migrator(t, on, fresh, of(squashed(q))), 1)
		if a, b := dump(t, on, db), dump(t, on, fresh); a != b {
			t.Errorf("the databases differ:\n%s", differ(a, b))
		}
	})
}

func TestASquashThatWouldLoseOrHideSomethingIsRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		more []string
		by   func(t *testing.T, s *squashCase)
		says string
	}{
		{"a change of rows", []string{"0_data.up.sql", "INSERT INTO x VALUES (1);"}, func(t *testing.T, s *squashCase) { mustExec(t, s.db, "CREATE TABLE x (id int)") },
			"0_data.up.sql:1:1: changes rows: INSERT INTO x"},
		{"a table out of rows", []string{"0_data.up.sql", "CREATE TABLE x AS SELECT 1 AS one;"}, nil, "copies rows"},
		{"a repeatable one", []string{"0_view.up.sql", "-- repeatable\nCREATE VIEW v AS SELECT 1 AS one;"}, nil, "app:0 is repeatable"},
		{"a table out of values", []string{"0_data.up.sql", "CREATE TABLE x AS VALUES (1);"}, nil, "0_data.up.sql:1:1: copies rows"},
		{"for some environments", []string{"0_env.up.sql", "-- env: test\nCREATE TABLE x (id int);"}, nil, "for the environments test only"},
		{"a pending one", []string{"0_a.up.sql", ""}, func(t *testing.T, s *squashCase) {
			mustExec(t, s.db, "DELETE FROM buffkit_migrations WHERE version = '0'")
		}, "is pending"},
		{"a changed one", nil, func(t *testing.T, s *squashCase) {
			s.opts = of(files(append([]string{"1_users.up.sql", "CREATE TABLE users (id bigint);"}, three[4:]...)...))
		}, "changed after it was applied"},
		{"a later one", fourth, nil, "app:4 is applied, which is above: give an empty scratch database"},
		{"another source", nil, func(t *testing.T, s *squashCase) {
			s.opts.Sources = append(s.opts.Sources, migrate.Source{Name: "auth", FS: files("1_a.up.sql", "CREATE TABLE a (id int);")})
			mustUp(t, migrator(t, s.on, s.db, s.opts), 1)
		}, "has the source auth too"},
		{"a file that is gone", nil, func(t *testing.T, s *squashCase) { s.opts = of(files(three[4:]...)) }, "app:1 is applied, and its file is missing"},
		{"a change by hand", nil, func(t *testing.T, s *squashCase) {
			mustExec(t, s.db, "ALTER TABLE users ADD COLUMN by_hand int")
			s.scratch = true
		}, "by_hand"},
		{"a scratch database that isn't empty", nil, func(t *testing.T, s *squashCase) { s.used, s.scratch = true, true }, "isn't empty"},
		{"what SQL can't say", []string{"0_pragma.up.sql", "PRAGMA user_version = 5;"}, nil, "PRAGMA user_version, which is 5"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &squashCase{on: onSQLite, db: onSQLite.open(t), opts: of(files(append(tt.more, three...)...))}
			s.opts.Environment = "test"
			if tt.name == "a change of rows" {
				tt.by(t, s)
				tt.by = nil
			}
			if _, err := migrator(t, s.on, s.db, s.opts).Up(t.Context()); err != nil {
				t.Fatal(err)
			}
			if tt.by != nil {
				tt.by(t, s)
			}
			opts := &migrate.SquashOptions{}
			if s.scratch {
				if opts.Scratch = onSQLite.open(t); s.used {
					mustExec(t, opts.Scratch, "CREATE TABLE x (id int)")
				}
			}
			q, err := migrator(t, s.on, s.db, s.opts).Squash(t.Context(), migrate.Ref{Version: "3"}, opts)
			if !errors.Is(err, migrate.ErrSquash) || !strings.Contains(err.Error(), tt.says) || q != nil {
				t.Errorf("%v", err)
			}
		})
	}
}

type squashCase struct {
	on            target
	db            *sql.DB
	opts          migrate.Options
	scratch, used bool
}
