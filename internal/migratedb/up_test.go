package migratedb

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
)

var twoTables = files(
	"1_users.up.sql", "CREATE TABLE users (id int);\nINSERT INTO users VALUES (1);\nINSERT INTO users VALUES (2);\n",
	"1_users.down.sql", "DROP TABLE users;\n",
	"2_teams.up.sql", "CREATE TABLE teams (id int);\n",
	"2_teams.down.sql", "DROP TABLE teams;\n",
)

func TestUpAppliesWhatIsPendingAndNothingTwice(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		db := on.open(t)
		m := migrator(t, on, db, of(twoTables))
		res, err := m.Up(t.Context())
		if err != nil || len(res.Steps) != 2 || res.Steps[0].Rows < 2 || len(res.Steps[0].Statements) != 3 {
			t.Fatalf("%+v, %v", res, err)
		}
		res, err = m.Up(t.Context())
		if err != nil || len(res.Steps) != 0 {
			t.Fatalf("again: %+v, %v", res, err)
		}
		if n := number(t, db, "SELECT count(*) FROM users"); n != 2 || !has(t, db, "teams") {
			t.Errorf("%d users", n)
		}
		infos, err := m.Status(t.Context())
		if err != nil || len(infos) != 2 || infos[1].State != migrate.Applied || infos[1].Ref.String() != "app:2" {
			t.Errorf("%+v, %v", infos, err)
		}
	})
}

func TestDownAndRedoUndoInReverse(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		db := on.open(t)
		m := migrator(t, on, db, of(twoTables))
		if _, err := m.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if res, err := m.Redo(t.Context(), 2); err != nil || len(res.Steps) != 4 || res.Steps[0].Ref.Version != "2" || res.Steps[2].Ref.Version != "1" {
			t.Fatalf("%+v, %v", res, err)
		}
		if _, err := m.Down(t.Context(), 1); err != nil || has(t, db, "teams") || !has(t, db, "users") {
			t.Fatal(err)
		}
		if _, err := m.DownTo(t.Context(), migrate.Ref{Version: "0"}); err != nil || has(t, db, "users") {
			t.Fatal(err)
		}
		if n := number(t, db, "SELECT count(*) FROM buffkit_migrations"); n != 0 {
			t.Errorf("%d rows in the ledger", n)
		}
	})
}

func TestAFailedMigrationLeavesNothingWhereDDLRollsBack(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		if isMySQL(on) {
			return // TestAfterAFailureTheCorrectedFileGoesOn
		}
		db := on.open(t)
		m := migrator(t, on, db, of(files("1_a.up.sql", "CREATE TABLE a (id int);\n\nINSERT INTO a\nVALUES (1, 2, nonsense);\n")))
		_, err := m.Up(t.Context())
		var failed *migrate.StepError
		if !errors.As(err, &failed) || failed.Left != migrate.LeftNothing || failed.Statement != 2 || failed.Of != 2 {
			t.Fatalf("%v", err)
		}
		for _, want := range []string{"1_a.up.sql:", "statement 2 of 2", "Nothing of it is left"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q isn't in:\n%v", want, err)
			}
		}
		if has(t, db, "a") {
			t.Error("the table is there")
		}
		t.Logf("\n%v", err)
	})
}

func TestDownRunsTheScriptThatWasKeptWhenTheFileIsGone(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		db := on.open(t)
		if _, err := migrator(t, on, db, of(twoTables)).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		older := migrator(t, on, db, of(files("1_users.up.sql", "CREATE TABLE users (id int);\nINSERT INTO users VALUES (1);\nINSERT INTO users VALUES (2);\n")))
		if _, err := older.Up(t.Context()); !errors.Is(err, migrate.ErrMissing) {
			t.Errorf("up: %v", err)
		}
		if _, err := older.Down(t.Context(), 1); err != nil || has(t, db, "teams") {
			t.Fatal(err)
		}
	})
}

func TestWithoutADownScriptTheRowIsKept(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		db := on.open(t)
		m := migrator(t, on, db, of(files("1_a.up.sql", "CREATE TABLE a (id int);")))
		if _, err := m.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Down(t.Context(), 1); !errors.Is(err, migrate.ErrNoDown) {
			t.Errorf("%v", err)
		}
		if n := number(t, db, "SELECT count(*) FROM buffkit_migrations"); n != 1 {
			t.Errorf("%d rows in the ledger", n)
		}
	})
}

// What every other runner leaves to its user: the third of four statements fails, the file is corrected, and up goes on.
func TestAfterAFailureTheCorrectedFileGoesOn(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		db := on.open(t)
		const begin = "-- no-transaction\nCREATE TABLE a (id int);\nINSERT INTO a VALUES (1);\n"
		_, err := migrator(t, on, db, of(files("1_a.up.sql", begin+"CREATE TABL b (id int);\nINSERT INTO a VALUES (2);\n"))).Up(t.Context())
		var failed *migrate.StepError
		if !errors.As(err, &failed) || failed.Left != migrate.LeftPart || failed.Done != 2 || failed.Statement != 3 {
			t.Fatalf("%v", err)
		}
		t.Logf("\n%v", err)
		wrong := migrator(t, on, db, of(files("1_a.up.sql", "-- no-transaction\nCREATE TABLE a (id int, b int);\nINSERT INTO a VALUES (1);\n")))
		if _, err := wrong.Up(t.Context()); !errors.Is(err, migrate.ErrDrift) {
			t.Errorf("with other statements than were executed: %v", err)
		}
		right := migrator(t, on, db, of(files("1_a.up.sql", begin+"CREATE TABLE b (id int);\nINSERT INTO a VALUES (2);\n")))
		if _, err := right.Down(t.Context(), 1); !errors.Is(err, migrate.ErrUnfinished) {
			t.Errorf("down of a half: %v", err)
		}
		if _, err := right.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := number(t, db, "SELECT count(*) FROM a"); n != 2 || !has(t, db, "b") {
			t.Errorf("%d rows", n)
		}
		var timings string
		if err := db.QueryRowContext(t.Context(), "SELECT timings FROM buffkit_migrations").Scan(&timings); err != nil || strings.Count(timings, `"n":`) != 4 {
			t.Errorf("the times of its 4 statements are %s, %v", timings, err)
		}
	})
}

func TestWhereNothingTookEffectNothingIsLeftOfAFailureEvenWithoutATransaction(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		db := on.open(t)
		m := migrator(t, on, db, of(files("1_a.up.sql", "-- no-transaction\nCREATE TABL a (id int);\nCREATE TABLE b (id int);\n")))
		_, err := m.Up(t.Context())
		var failed *migrate.StepError
		if !errors.As(err, &failed) || failed.Left != migrate.LeftNothing {
			t.Fatalf("%v", err)
		}
		if n := number(t, db, "SELECT count(*) FROM buffkit_migrations"); n != 0 {
			t.Errorf("%d rows in the ledger", n)
		}
	})
}

// Servers refuse text that isn't UTF-8: what the ledger keeps of a file mustn't cost the migration.
func TestTextThatTheLedgerCantKeepDoesntStopTheMigration(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		db := on.open(t)
		up := "-- no-transaction\nCREATE TABLE a (n int"
		up += strings.Repeat(" ", 1196-len(up)) + "/* ä */);\n" // the journal keeps the first half of it
		opts := of(files("1_a.up.sql", up, "1_a.down.sql", "DROP TABLE a;\n-- f\xfcr immer, in another encoding\n"))
		m := migrator(t, on, db, opts)
		if _, err := m.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		gone := opts
		gone.Sources = []migrate.Source{{FS: files()}}
		if _, err := migrator(t, on, db, gone).Plan(t.Context(), migrate.Goal{Do: migrate.DoDown, Steps: 1}); on.dialect != dialect.SQLite && !errors.Is(err, migrate.ErrNoDown) {
			t.Errorf("%v", err)
		}
		if _, err := m.Down(t.Context(), 1); err != nil || has(t, db, "a") {
			t.Errorf("%v", err)
		}
	})
}

// PostgreSQL refuses a transaction to some statements where their table has partitions, which the runner doesn't know.
func TestWhatRefusesATransactionForItsTableRunsWithoutOne(t *testing.T) {
	t.Parallel()
	db := onPostgres.open(t)
	const parts = "CREATE TABLE a (n int) PARTITION BY LIST (n);\nCREATE TABLE a1 PARTITION OF a FOR VALUES IN (1);\nCREATE INDEX i ON a (n);\n"
	const alone = "REINDEX TABLE a;\nREINDEX TABLE a1;\nCLUSTER a USING i;\n"
	_, err := migrator(t, onPostgres, db, of(files("1_a.up.sql", parts, "2_b.up.sql", alone))).Up(t.Context())
	if err == nil || !strings.Contains(err.Error(), "-- no-transaction") {
		t.Errorf("%v", err)
	}
	if _, err := migrator(t, onPostgres, db, of(files("1_a.up.sql", parts, "2_b.up.sql", "-- no-transaction\n"+alone))).Up(t.Context()); err != nil {
		t.Error(err)
	}
}

// Who ends as a role that may not write the ledger is told of it.
func TestWhoStaysAnotherRoleIsToldToGiveItBack(t *testing.T) {
	t.Parallel()
	db := onPostgres.open(t)
	role := fmt.Sprintf("role%d_%d", os.Getpid(), databases.Add(1))
	mustExec(t, db, "CREATE ROLE "+role)
	t.Cleanup(func() { _, _ = db.Exec("DROP ROLE " + role) })
	_, err := migrator(t, onPostgres, db, of(files("1_a.up.sql", "SET ROLE "+role+";\nSELECT 1;\n"))).Up(t.Context())
	if err == nil || !strings.Contains(err.Error(), "RESET ROLE") {
		t.Errorf("%v", err)
	}
}

// A schema that comes before the ledger's would have a ledger of its own, and all would be applied again.
func TestASchemaThatComesBeforeTheLedgersIsTold(t *testing.T) {
	t.Parallel()
	driverName, dsn := onPostgres.fresh(t)
	db := openDB(t, driverName, dsn)
	opts := of(files("1_a.up.sql", "CREATE TABLE IF NOT EXISTS a (n int);\nINSERT INTO a VALUES (1);\n", "2_b.up.sql", "DO $$ BEGIN EXECUTE format('CREATE SCHEMA %I', current_user); END $$;"))
	if _, err := migrator(t, onPostgres, db, opts).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, use := range map[string]func(m *migrate.Migrator) error{
		"up":     func(m *migrate.Migrator) error { _, err := m.Up(t.Context()); return err },
		"status": func(m *migrate.Migrator) error { _, err := m.Status(t.Context()); return err },
	} {
		if err := use(migrator(t, onPostgres, db, opts)); !errors.Is(err, migrate.ErrLedger) || !strings.Contains(err.Error(), `"public"."buffkit_migrations" has one`) {
			t.Errorf("%s: %v", name, err)
		}
	}
	public := connecting(t, driverName, dsn, "SET search_path = public")
	if res, err := migrator(t, onPostgres, public, opts).Up(t.Context()); err != nil || len(res.Steps) > 0 || number(t, public, "SELECT count(*) FROM a") != 1 {
		t.Errorf("%+v, %v", res, err)
	}
	var own string
	if err := db.QueryRowContext(t.Context(), "SELECT quote_ident(current_schema())").Scan(&own); err != nil {
		t.Fatal(err)
	}
	mustExec(t, db, "CREATE TABLE "+own+".buffkit_migrations (LIKE public.buffkit_migrations INCLUDING ALL)")
	if infos, err := migrator(t, onPostgres, db, opts).Status(t.Context()); err != nil || len(infos) != 2 || infos[0].State != migrate.Pending {
		t.Errorf("%+v, %v", infos, err)
	}
}

// A schema may have any name.
func TestALedgerLivesInASchemaOfAnyName(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		if on.dialect == dialect.SQLite {
			return // it has no schemas
		}
		driverName, dsn := on.fresh(t)
		db := openDB(t, driverName, dsn)
		const name = "odd ?'\" name"
		change := `SET search_path = "odd ?'"" name"`
		if isMySQL(on) {
			change = "USE `odd ?'\" name`"
			t.Cleanup(func() { _, _ = db.Exec("DROP DATABASE `" + name + "`") })
			mustExec(t, db, "CREATE DATABASE `"+name+"`")
		} else {
			mustExec(t, db, `CREATE SCHEMA "odd ?'"" name"`)
		}
		odd := connecting(t, driverName, dsn, change)
		m := migrator(t, on, odd, of(files("1_a.up.sql", "CREATE TABLE a (n int);", "1_a.down.sql", "DROP TABLE a;", "2_b.up.sql", "-- no-transaction\nCREATE TABLE b (n int);")))
		if _, err := m.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if has(t, db, "a") || !has(t, odd, "a") {
			t.Error("it is elsewhere")
		}
	})
}

// connecting opens a database whose connections begin with a statement.
func connecting(t *testing.T, driverName, dsn, begin string) *sql.DB {
	t.Helper()
	w := &wire{begin: begin}
	db, err := w.open(driverName, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}
