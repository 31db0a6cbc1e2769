package migratedb

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
)

func code(up func(ctx context.Context, db migrate.DB) error) []migrate.GoMigration {
	return []migrate.GoMigration{{Version: "2", Name: "code", Up: up, Depends: []migrate.Ref{{Version: "1"}}, Down: func(ctx context.Context, db migrate.DB) error {
		_, err := db.ExecContext(ctx, "DELETE FROM a")
		return err
	}}}
}

func TestCodeIsAMigrationLikeAnyOther(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		db := on.open(t)
		var kept migrate.DB
		fail := errors.New("not now")
		opts := of(files("1_a.up.sql", "CREATE TABLE a (n int);", "3_b.up.sql", "-- depends: 2\nCREATE TABLE b (n int);"))
		opts.Sources[0].Go = code(func(ctx context.Context, db migrate.DB) error {
			kept = db
			if _, err := db.ExecContext(ctx, "INSERT INTO a VALUES (1)"); err != nil {
				return err
			}
			var n int
			if err := db.QueryRowContext(ctx, "SELECT count(*) FROM a").Scan(&n); err != nil || n != 1 {
				t.Errorf("%d rows within it, %v", n, err)
			}
			return fail
		})
		m := migrator(t, on, db, opts)
		_, err := m.Up(t.Context())
		var failed *migrate.StepError
		if !errors.Is(err, fail) || !errors.As(err, &failed) || failed.Left != migrate.LeftNothing || number(t, db, "SELECT count(*) FROM a") != 0 {
			t.Fatalf("%v", err)
		}
		if _, err := kept.ExecContext(t.Context(), "INSERT INTO a VALUES (7)"); err == nil {
			t.Error("the transaction can be used behind the end of the migration")
		}
		fail = nil
		res, err := m.Up(t.Context())
		if err != nil || len(res.Steps) != 2 || res.Steps[0].Rows != 1 || !has(t, db, "b") {
			t.Fatalf("%+v, %v", res, err)
		}
		opts.Sources[0].FS = files("1_a.up.sql", "CREATE TABLE a (n int);")
		opts.AllowMissing = true
		if _, err := migrator(t, on, db, opts).Down(t.Context(), 2); !errors.Is(err, migrate.ErrNoDown) {
			t.Errorf("%v", err)
		}
		opts.Sources[0].FS = files("1_a.up.sql", "CREATE TABLE a (n int);", "3_b.up.sql", "-- depends: 2\nCREATE TABLE b (n int);", "3_b.down.sql", "DROP TABLE b;")
		if _, err := migrator(t, on, db, opts).Down(t.Context(), 2); err != nil || number(t, db, "SELECT count(*) FROM a") != 0 {
			t.Errorf("%v", err)
		}
	})
}

func TestStoppedCodeIsRolledBack(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		db := on.open(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		opts := of(files("1_a.up.sql", "CREATE TABLE a (n int);"))
		opts.Sources[0].Go = code(func(ctx context.Context, db migrate.DB) error {
			if _, err := db.ExecContext(ctx, "INSERT INTO a VALUES (1)"); err != nil {
				return err
			}
			cancel()
			_, err := db.ExecContext(ctx, "INSERT INTO a VALUES (2)")
			return err
		})
		_, err := migrator(t, on, db, opts).Up(ctx)
		var failed *migrate.StepError
		if !errors.Is(err, context.Canceled) || !errors.As(err, &failed) || failed.Left != migrate.LeftNothing || number(t, db, "SELECT count(*) FROM a") != 0 {
			t.Errorf("%v", err)
		}
	})
}

// A migration of MySQL's sets variables and prepares statements: what comes behind an interruption needs them again.
func TestWhatAMigrationSetsOnItsConnectionIsSetAgainWhenItGoesOn(t *testing.T) {
	t.Parallel()
	on := onMariaDB
	db := on.open(t)
	const begin = "CREATE TABLE a (n int);\nSET @n = 41;\nSET @sql = (SELECT IF(1 = 1, 'CREATE TABLE b (n int)', 'SELECT 1'));\nPREPARE s FROM @sql;\nEXECUTE s;\nDEALLOCATE PREPARE s;\n"
	if _, err := migrator(t, on, db, of(files("1_a.up.sql", begin+"INSERT INTO a VALUES (@nope + 1, 2);\n"))).Up(t.Context()); err == nil {
		t.Fatal("it didn't fail")
	}
	if _, err := migrator(t, on, db, of(files("1_a.up.sql", begin+"INSERT INTO a VALUES (@n + 1);\n"))).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := number(t, db, "SELECT n FROM a"); n != 42 {
		t.Errorf("n is %d", n)
	}
	t.Run("but what can't be had again isn't guessed", func(t *testing.T) {
		t.Parallel()
		db := on.open(t)
		const begin = "CREATE TABLE a (n int);\nSET @n = (SELECT COUNT(*) FROM a);\nINSERT INTO a VALUES (7);\nCREATE TABLE b (n int);\n"
		if _, err := migrator(t, on, db, of(files("1_a.up.sql", begin+"INSERT INTO a VALUES (@nope, 2);\n"))).Up(t.Context()); err == nil {
			t.Fatal("it didn't fail")
		}
		if _, err := migrator(t, on, db, of(files("1_a.up.sql", begin+"INSERT INTO a VALUES (@n);\n"))).Up(t.Context()); !errors.Is(err, migrate.ErrUnfinished) {
			t.Errorf("%v", err)
		}
		if n := number(t, db, "SELECT count(*) FROM a"); n != 1 {
			t.Errorf("%d rows", n)
		}
	})
}

// Of two settings both count, of two places the last, and a setting that is computed of others is computed again.
func TestAnInterruptedMigrationGoesOnWithTheSettingsThatItHad(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		driverName, dsn := on.fresh(t)
		db := openDB(t, driverName, dsn)
		var one, two string // places
		if err := db.QueryRowContext(t.Context(), map[bool]string{true: "SELECT database()", false: "SELECT 'public'"}[isMySQL(on)]).Scan(&one); err != nil {
			t.Fatal(err)
		}
		var begin, rest, want string
		switch {
		case on.dialect == dialect.Postgres:
			two = "other"
			mustExec(t, db, "CREATE SCHEMA other")
			begin = "-- no-transaction\nSET SESSION search_path = public;\nSET SESSION work_mem = '5MB';\n" +
				"SELECT pg_catalog.set_config('search_path', 'other', false);\nCREATE TABLE a (n int);\n"
			rest, want = "CREATE TABLE b AS SELECT current_setting('work_mem') || current_schema() AS has;\n", "5MBother"
		case isMySQL(on):
			two = one + "_2"
			mustExec(t, db, "CREATE DATABASE "+two)
			t.Cleanup(func() { _, _ = db.Exec("DROP DATABASE " + two) })
			begin = fmt.Sprintf("SET SESSION sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES');\n"+
				"SET SESSION div_precision_increment = 7;\nUSE %[2]s;\nUSE %[1]s;\nCREATE TABLE c (n int);\nUSE %[2]s;\nCREATE TABLE a (n int);\n", one, two)
			rest, want = "CREATE TABLE b AS SELECT CONCAT(LOCATE('ANSI_QUOTES', @@sql_mode) > 0, @@div_precision_increment, database()) AS has;\n", "17"+two
		default:
			return // in SQLite all is one transaction
		}
		if _, err := migrator(t, on, db, of(files("1_a.up.sql", begin+"SELECT nothing FROM nowhere;\n"))).Up(t.Context()); err == nil {
			t.Fatal("it didn't fail")
		}
		if _, err := migrator(t, on, db, of(files("1_a.up.sql", begin+rest))).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := db.QueryRowContext(t.Context(), "SELECT has FROM "+two+".b").Scan(&got); err != nil || got != want {
			t.Errorf("it went on with %q instead of %q: %v", got, want, err)
		}
	})
}

// pg_dump writes such: what comes behind it must not look elsewhere for the ledger, nor should the next migration.
func TestWhatAMigrationSetsOnItsConnectionIsGoneForTheNext(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		set := map[dialect.Dialect]string{
			dialect.Postgres: "SELECT pg_catalog.set_config('search_path', '', false);\nCREATE TABLE public.a (n int);\n",
			dialect.MariaDB:  "SET SESSION sql_mode = 'ANSI_QUOTES';\nUSE information_schema;\n",
			dialect.MySQL:    "SET SESSION sql_mode = 'ANSI_QUOTES';\nUSE information_schema;\n",
			dialect.SQLite:   "CREATE TABLE a (n int);\n",
		}[on.dialect]
		db := on.open(t)
		m := migrator(t, on, db, of(files("1_a.up.sql", set, "2_b.up.sql", "CREATE TABLE b (n int);")))
		if _, err := m.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !has(t, db, "b") {
			t.Error("it was made elsewhere")
		}
	})
}
