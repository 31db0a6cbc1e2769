package migratedb

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/buffkit/buffkit/internal/servers"
	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"

	"github.com/go-sql-driver/mysql"
)

// procedure makes a procedure that inserts a row, and calls it.
func procedure(on target) (create, call string) {
	if on.dialect == dialect.Postgres {
		return "CREATE TABLE a (n int);\nCREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO a VALUES (1); COMMIT; END $$;\n",
			"-- no-transaction\nCREATE TABLE b (n int);\nCALL p();\nCREATE TABLE c (n int);\n"
	}
	return "CREATE TABLE a (n int);\nCREATE PROCEDURE p() BEGIN INSERT INTO a VALUES (1); COMMIT; END;\n", "CREATE TABLE b (n int);\nCALL p();\nCREATE TABLE c (n int);\n"
}

// What no catalog shows, nobody guesses: the runner stops, says what to look at, and goes on with the answer.
func TestWhereTheCatalogCantTellItAsksAndGoesOnWithTheAnswer(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		if on.dialect == dialect.SQLite {
			return // it has nothing of the kind
		}
		for when, answer := range map[string]migrate.Action{"before": migrate.RepairNotDone, "after": migrate.RepairDone} {
			t.Run("killed "+when, func(t *testing.T) {
				t.Parallel()
				provesAtEnd(t, on, "kill -9 at what the catalog doesn't show: it asks")
				create, call := procedure(on)
				folder := inFolder(t, "1_p.up.sql", create, "2_call.up.sql", call)
				driverName, dsn := on.fresh(t)
				db := openDB(t, driverName, dsn)
				cmd := runner(t, on, driverName, dsn, folder, "up", 1, when)
				cmd.Env = append(cmd.Env, queryVar+"=CALL p()")
				if !killedAt(t, cmd) {
					t.Fatal("it wasn't killed")
				}
				m := migrator(t, on, db, of(dirFS(folder)))
				_, err := m.Up(t.Context())
				var unclear *migrate.UnclearError
				if !errors.As(err, &unclear) || unclear.Ref.Version != "2" || unclear.Statement != 2 || unclear.SQL != "CALL p()" {
					t.Fatalf("%v", err)
				}
				t.Logf("\n%v", err)
				if err := m.Repair(t.Context(), migrate.Repair{Ref: unclear.Ref, Action: answer, Statement: 2}); err != nil {
					t.Fatal(err)
				}
				if _, err := m.Up(t.Context()); err != nil {
					t.Fatal(err)
				}
				if n := number(t, db, "SELECT count(*) FROM a"); n != 1 || !has(t, db, "c") {
					t.Errorf("%d rows", n)
				}
			})
		}
	})
}

// What a killed run had changed the connection to look at says what a name means: in another schema, a table or an index of that name is another one, or none.
func TestWhatIsInDoubtIsLookedForWhereTheKilledRunWas(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		if on.dialect == dialect.SQLite {
			return // it has nothing that would be in doubt
		}
		for _, when := range []string{"before", "after"} {
			t.Run("killed "+when, func(t *testing.T) {
				t.Parallel()
				driverName, dsn := on.fresh(t)
				db := openDB(t, driverName, dsn)
				other := fmt.Sprintf("other%d_%d", os.Getpid(), databases.Add(1))
				text, statement, looked := "USE "+other+";\nALTER TABLE a ADD COLUMN extra int;\n", "ALTER TABLE a ADD COLUMN extra int", "SELECT extra FROM "+other+".a"
				mustExec(t, db, "CREATE SCHEMA "+other, "CREATE TABLE "+other+".a (n int)", "CREATE TABLE a (n int)")
				if isMySQL(on) {
					t.Cleanup(func() { _, _ = db.Exec("DROP SCHEMA " + other) })
					mustExec(t, db, "ALTER TABLE a ADD COLUMN extra int")
				} else {
					mustExec(t, db, "CREATE INDEX i ON a (n)")
					statement, looked = "CREATE INDEX CONCURRENTLY i ON a (n)", "SELECT '"+other+".i'::regclass::text"
					text = "-- no-transaction\nSET search_path = " + other + ";\n" + statement + ";\n"
				}
				folder := inFolder(t, "1_a.up.sql", text)
				cmd := runner(t, on, driverName, dsn, folder, "up", 1, when)
				cmd.Env = append(cmd.Env, queryVar+"="+statement)
				if !killedAt(t, cmd) {
					t.Fatal("it wasn't killed")
				}
				if _, err := migrator(t, on, db, of(dirFS(folder))).Up(t.Context()); err != nil {
					t.Fatal(err)
				}
				if _, err := db.Exec(looked); err != nil {
					t.Errorf("it is applied, and the statement had no effect: %v", err)
				}
			})
		}
	})
}

// Rows of MyISAM are changed for good at once, in a transaction or not: a killed statement is in doubt, and isn't done twice unasked.
func TestWhereNoTransactionRollsBackNothingIsDoneTwiceUnasked(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		if !isMySQL(on) {
			return
		}
		for name, pairs := range map[string][]string{
			"a table that is there": {"2_a.up.sql", "INSERT INTO a VALUES (1);\nINSERT INTO a VALUES (2);\n"},
			"one that it makes":     {"2_a.up.sql", "CREATE TABLE c (n int) ENGINE = Aria;\nINSERT INTO a VALUES (1);\nINSERT INTO a VALUES (2);\n"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				if on.dialect == dialect.MySQL {
					pairs[1] = strings.Replace(pairs[1], "Aria", "MyISAM", 1)
				}
				folder := inFolder(t, pairs...)
				driverName, dsn := on.fresh(t)
				db := openDB(t, driverName, dsn)
				mustExec(t, db, "CREATE TABLE a (n int) ENGINE = MyISAM")
				cmd := runner(t, on, driverName, dsn, folder, "up", 1, "after")
				cmd.Env = append(cmd.Env, queryVar+"=INSERT INTO a VALUES (1)")
				if !killedAt(t, cmd) {
					t.Fatal("it wasn't killed")
				}
				m := migrator(t, on, db, of(dirFS(folder)))
				_, err := m.Up(t.Context())
				var unclear *migrate.UnclearError
				if !errors.As(err, &unclear) || unclear.SQL != "INSERT INTO a VALUES (1)" {
					t.Fatalf("%v", err)
				}
				if err := m.Repair(t.Context(), migrate.Repair{Ref: unclear.Ref, Action: migrate.RepairDone, Statement: unclear.Statement}); err != nil {
					t.Fatal(err)
				}
				if _, err := m.Up(t.Context()); err != nil {
					t.Fatal(err)
				}
				if n := number(t, db, "SELECT count(*) FROM a"); n != 2 {
					t.Errorf("%d rows", n)
				}
			})
		}
	})
}

// A runner that is killed while the server works leaves the statement running there, and the next one must not work beside it.
func TestAfterKillMinus9DuringAStatementTheNextUpWaitsForTheServerAndFinishes(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		if on.dialect == dialect.SQLite {
			return // its statements end with the process
		}
		scripts := map[string]string{"DDL": "ALTER TABLE t ADD COLUMN extra int;\nINSERT INTO t (n) VALUES (7);\n"}
		if on.dialect == dialect.Postgres {
			scripts["CONCURRENTLY"] = "-- no-transaction\nCREATE INDEX CONCURRENTLY t_n ON t (n);\nINSERT INTO t (n) VALUES (7);\n"
		}
		for name, script := range scripts {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				provesAtEnd(t, on, "kill -9 while the server works")
				folder := inFolder(t, "1_t.up.sql", "CREATE TABLE t (n int);\nINSERT INTO t VALUES (1);\n", "2_x.up.sql", script)
				driverName, dsn := on.fresh(t)
				db := openDB(t, driverName, dsn)
				if _, err := migrator(t, on, db, of(files("1_t.up.sql", "CREATE TABLE t (n int);\nINSERT INTO t VALUES (1);\n"))).Up(t.Context()); err != nil {
					t.Fatal(err)
				}
				blocker, err := db.BeginTx(context.Background(), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer blocker.Rollback()
				if _, err := blocker.Exec("UPDATE t SET n = 2"); err != nil {
					t.Fatal(err)
				}
				cmd := runner(t, on, driverName, dsn, folder, "up", 0, "never")
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				word := strings.Fields(strings.SplitN(script, "\n", 3)[0] + " ")[0]
				if name == "CONCURRENTLY" {
					word = "INDEX CONCURRENTLY"
				}
				until(t, "the statement in the server", func() bool { return isRunning(t, on, db, word) })
				if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				_ = cmd.Wait()
				waited := make(chan migrate.Holder, 100)
				opts := of(dirFS(folder))
				opts.Hooks.Waiting = func(h migrate.Holder) { waited <- h }
				ended := make(chan error, 1)
				m := migrator(t, on, db, opts)
				go func() {
					_, err := m.Up(context.Background())
					ended <- err
				}()
				select {
				case h := <-waited:
					t.Logf("waiting for %v", h)
				case err := <-ended:
					t.Fatalf("it didn't wait: %v", err)
				}
				if err := blocker.Rollback(); err != nil {
					t.Fatal(err)
				}
				if err := <-ended; err != nil {
					t.Fatal(err)
				}
				if n := number(t, db, "SELECT count(*) FROM t WHERE n = 7"); n != 1 {
					t.Errorf("%d rows", n)
				}
				if name == "CONCURRENTLY" {
					if n := number(t, db, "SELECT count(*) FROM pg_index WHERE indexrelid = 't_n'::regclass AND indisvalid"); n != 1 {
						t.Error("the index isn't valid")
					}
				}
			})
		}
	})
}

// A unique index whose building fails stays behind as an invalid one: the corrected next run drops it and builds it anew.
func TestAnInvalidIndexIsDroppedAndBuiltAnew(t *testing.T) {
	t.Parallel()
	on := onPostgres
	provesAtEnd(t, on, "an index left invalid")
	db := on.open(t)
	const first, index = "CREATE TABLE t (n int);\nINSERT INTO t VALUES (1), (1);\n", "-- no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY t_n ON t (n);\nINSERT INTO t VALUES (2);\n"
	m := migrator(t, on, db, of(files("1_t.up.sql", first, "2_index.up.sql", index)))
	_, err := m.Up(t.Context())
	var failed *migrate.StepError
	if !errors.As(err, &failed) || failed.Left != migrate.LeftPart {
		t.Fatalf("%v", err)
	}
	t.Logf("\n%v", err)
	mustExec(t, db, "DELETE FROM t")
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := number(t, db, "SELECT count(*) FROM pg_index WHERE indexrelid = 't_n'::regclass AND indisvalid AND indisunique"); n != 1 {
		t.Error("the index isn't valid")
	}
}

func TestWaitEndsWhenTheDatabaseAnswersAndAtOnceWhenItNeverWill(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		if on.dialect == dialect.SQLite {
			return
		}
		provesAtEnd(t, on, "wrong user, database missing")
		driverName, dsn := on.fresh(t)
		if err := migrator(t, on, openDB(t, driverName, dsn), of(twoTables)).Wait(t.Context()); err != nil {
			t.Error(err)
		}
		wrong := strings.Replace(dsn, "/test", "/nosuch", 1)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		err := migrator(t, on, openDB(t, driverName, wrong), of(twoTables)).Wait(ctx)
		if err == nil || ctx.Err() != nil {
			t.Errorf("a database that isn't there: %v", err)
		}
		t.Log(err)
		user := strings.NewReplacer("postgres@", "nobody_here@", "root@", "nobody_here:wrong@").Replace(dsn)
		if err := migrator(t, on, openDB(t, driverName, user), of(twoTables)).Wait(ctx); err == nil || ctx.Err() != nil {
			t.Errorf("a user that isn't there: %v", err)
		}
	})
}

// wrongly changes the user of a connection string, and gives it a password.
func wrongly(t *testing.T, on target, dsn, user, password string) string {
	t.Helper()
	if isMySQL(on) {
		config, err := mysql.ParseDSN(dsn)
		if err != nil {
			t.Fatal(err)
		}
		config.User, config.Passwd = user, password
		return config.FormatDSN()
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}

func TestAWrongPasswordEndsWaitAtOnceAndIsntShown(t *testing.T) {
	overNetwork(t, func(t *testing.T, on target) {
		provesAtEnd(t, on, "a wrong password")
		driverName, dsn := on.fresh(t)
		db := openDB(t, driverName, dsn)
		user, right, wrong := fmt.Sprintf("known%d", databases.Add(1)), "right-one", "wrong-one"
		if on.dialect == dialect.Postgres {
			if os.Getenv("BUFFKIT_TEST_POSTGRES_URL") != "" {
				t.Skip("the server of BUFFKIT_TEST_POSTGRES_URL may let everyone in")
			}
			user = servers.WithPassword
			mustExec(t, db, "CREATE ROLE "+user+" LOGIN PASSWORD '"+right+"'")
			t.Cleanup(func() {
				if _, err := db.Exec("DROP ROLE " + user); err != nil {
					t.Error(err)
				}
			})
		} else {
			mustExec(t, db, "CREATE USER "+user+"@'%' IDENTIFIED BY '"+right+"'", "CREATE USER "+user+"@localhost IDENTIFIED BY '"+right+"'")
			var name string
			if err := db.QueryRow("SELECT DATABASE()").Scan(&name); err != nil {
				t.Fatal(err)
			}
			mustExec(t, db, "GRANT ALL ON "+name+".* TO "+user+"@'%'", "GRANT ALL ON "+name+".* TO "+user+"@localhost")
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := migrator(t, on, openDB(t, driverName, wrongly(t, on, dsn, user, right)), of(twoTables)).Wait(ctx); err != nil {
			t.Errorf("the right password: %v", err)
		}
		m := migrator(t, on, openDB(t, driverName, wrongly(t, on, dsn, user, wrong)), of(twoTables))
		_, up := m.Up(ctx)
		for what, err := range map[string]error{"wait": m.Wait(ctx), "up": up} {
			if err == nil || ctx.Err() != nil || strings.Contains(err.Error(), wrong) {
				t.Errorf("%s: %v", what, err)
			}
			t.Log(err)
		}
		if has(t, db, "buffkit_migrations") {
			t.Error("something ran")
		}
	})
}

func TestAUserWithoutRightsIsToldAndNothingIsLeft(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		if on.dialect == dialect.SQLite {
			return // TestAReadOnlyDatabaseIsSaidToBeOne
		}
		provesAtEnd(t, on, "a user without the right to write")
		driverName, dsn := on.fresh(t)
		db := openDB(t, driverName, dsn)
		user := fmt.Sprintf("reader%d", databases.Add(1))
		reader := strings.NewReplacer("postgres@", user+"@", "root@", user+":secret@").Replace(dsn)
		if on.dialect == dialect.Postgres {
			mustExec(t, db, "CREATE ROLE "+user+" LOGIN", "GRANT USAGE ON SCHEMA public TO "+user, "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO "+user)
		} else {
			mustExec(t, db, "CREATE USER "+user+"@'%' IDENTIFIED BY 'secret'", "CREATE USER "+user+"@localhost IDENTIFIED BY 'secret'")
			var name string
			if err := db.QueryRow("SELECT DATABASE()").Scan(&name); err != nil {
				t.Fatal(err)
			}
			mustExec(t, db, "GRANT SELECT ON "+name+".* TO "+user+"@'%'", "GRANT SELECT ON "+name+".* TO "+user+"@localhost")
		}
		m := migrator(t, on, openDB(t, driverName, reader), of(twoTables))
		if _, err := m.Up(t.Context()); err == nil || has(t, db, "users") || has(t, db, "buffkit_migrations") {
			t.Errorf("%v", err)
		} else {
			t.Log(err)
		}
		if _, err := migrator(t, on, db, of(twoTables)).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if res, err := m.Up(t.Context()); err != nil || len(res.Steps) != 0 {
			t.Errorf("nothing is pending, so it needs no right to write: %+v, %v", res, err)
		}
		if infos, err := m.Status(t.Context()); err != nil || len(infos) != 2 {
			t.Errorf("status: %v, %v", infos, err)
		}
	})
}
