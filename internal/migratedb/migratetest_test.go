package migratedb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/migratetest"
)

// testOptions are those of a test with these files.
func testOptions(t *testing.T, pairs ...string) migratetest.Options {
	opts := of(files(pairs...))
	opts.Logger = quiet(t)
	return migratetest.Options{Migrate: opts}
}

// wants expects no error, or one that says all of it.
func wants(t *testing.T, err error, says ...string) {
	t.Helper()
	if (err == nil) != (len(says) == 0) {
		t.Fatalf("%v", err)
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q isn't in:\n%v", text, err)
		}
	}
}

func TestARoundTripFindsADownThatLeavesSomethingElse(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		good := slices.Concat(three, []string{"3_drop.down.sql", "DROP INDEX users_name;\nCREATE TABLE temporary (id int);\n"}, fourth)
		if isMySQL(on) {
			good[slices.Index(good, "3_drop.down.sql")+1] = "DROP INDEX users_name ON users;\nCREATE TABLE temporary (id int);\n"
		}
		wants(t, migratetest.RoundTrip(t.Context(), on.open(t), on.dialect, testOptions(t, good...)))

		forgetful := slices.Clone(good)
		forgetful[slices.Index(good, "2_name.down.sql")+1] = "DROP TABLE temporary;\n"
		wants(t, migratetest.RoundTrip(t.Context(), on.open(t), on.dialect, testOptions(t, forgetful...)), "down of app:2 leaves another schema", "+ ", "name", "again, behind its down")

		other := slices.Clone(good)
		other[slices.Index(good, "4_teams.down.sql")+1] = "DROP TABLE teams;\nCREATE TABLE remains (id int);\n"
		wants(t, migratetest.RoundTrip(t.Context(), on.open(t), on.dialect, testOptions(t, other...)), "down of app:4", "remains")

		wants(t, migratetest.RoundTrip(t.Context(), on.open(t), on.dialect, testOptions(t, three...)), "app:3 has no way down")
		o := testOptions(t, three...)
		o.Irreversible = []migrate.Ref{{Source: "app", Version: "3"}}
		wants(t, migratetest.RoundTrip(t.Context(), on.open(t), on.dialect, o))

		used := on.open(t)
		mustUp(t, migrator(t, on, used, o.Migrate), 3)
		wants(t, migratetest.RoundTrip(t.Context(), used, on.dialect, o), "isn't empty")
	})
}

func TestARoundTripOnPopulatedTablesFindsWhatAnEmptyTableHides(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		if on.dialect == dialect.SQLite {
			return // it refuses the column on an empty table too
		}
		unique := "CREATE UNIQUE INDEX users_name ON users (name);"
		o := testOptions(t, "1_users.up.sql", "CREATE TABLE users (name varchar(10));", "1_users.down.sql", "DROP TABLE users;", "2_unique.up.sql", unique, "2_unique.down.sql",
			map[bool]string{true: "DROP INDEX users_name ON users;", false: "DROP INDEX users_name;"}[isMySQL(on)])
		wants(t, migratetest.RoundTrip(t.Context(), on.open(t), on.dialect, o))
		o.Populate = func(ctx context.Context, db *sql.DB, next migrate.Ref) error {
			if next.Version != "2" {
				return nil
			}
			_, err := db.ExecContext(ctx, "INSERT INTO users VALUES ('same'), ('same')")
			return err
		}
		wants(t, migratetest.RoundTrip(t.Context(), on.open(t), on.dialect, o), "up of app:2 failed", "2_unique.up.sql:1:1")
		o.Populate = func(context.Context, *sql.DB, migrate.Ref) error { return errors.New("no rows today") }
		wants(t, migratetest.RoundTrip(t.Context(), on.open(t), on.dialect, o), "populate before app:1: no rows today")
	})
}

func TestParityFindsTablesThatDifferBetweenDialects(t *testing.T) {
	t.Parallel()
	all := []target{onSQLite, onPostgres, onMariaDB, onMySQL}
	same := []string{
		"1_users.postgres.up.sql", "CREATE TABLE users (id bigserial PRIMARY KEY, email text NOT NULL, ok boolean, doc jsonb, at timestamptz, raw bytea, price numeric(10,2));",
		"1_users.mysql.up.sql", "CREATE TABLE users (id bigint AUTO_INCREMENT PRIMARY KEY, email varchar(200) NOT NULL, ok boolean, doc json, at datetime, raw blob, price decimal(10,2));",
		"1_users.sqlite.up.sql", "CREATE TABLE users (id integer PRIMARY KEY, email text NOT NULL, ok boolean, doc text, at text, raw blob, price numeric);",
		"2_pairs.up.sql", "CREATE TABLE pairs (a int NOT NULL, b int NOT NULL, PRIMARY KEY (b, a));",
	}
	for i, a := range all {
		for _, b := range all[i+1:] {
			t.Run(a.name+" and "+b.name, func(t *testing.T) {
				t.Parallel()
				check := func(pairs ...string) error {
					return migratetest.Parity(t.Context(), migratetest.Database{DB: a.open(t), Dialect: a.dialect}, migratetest.Database{DB: b.open(t), Dialect: b.dialect}, testOptions(t, pairs...))
				}
				wants(t, check(same...))
				file := func(on target, text string) []string { return []string{"3_x." + on.name + ".up.sql", text} }
				wants(t, check(slices.Concat(file(a, "CREATE TABLE x (id int);"), file(b, "CREATE TABLE y (id int);"))...), "the table x is in "+a.dialect.Title()+" alone", "the table y is in "+b.dialect.Title()+" alone")
				if a.name == "mariadb" {
					return // takes the file for MySQL, too
				}
				wants(t, check(slices.Concat(file(a, "CREATE TABLE x (id int, n int);"), file(b, "CREATE TABLE x (id int, n varchar(10));"))...), "column 2 of x")
				wants(t, check(slices.Concat(file(a, "CREATE TABLE x (id int, n int);"), file(b, "CREATE TABLE x (id int, n int NOT NULL);"))...), "not null")
				wants(t, check(slices.Concat(file(a, "CREATE TABLE x (id int, n int);"), file(b, "CREATE TABLE x (id int PRIMARY KEY, n int);"))...), "primary key")
				wants(t, check(slices.Concat(file(a, "CREATE TABLE x (id int, n int);"), file(b, "CREATE TABLE x (n int, id int);"))...), "column 1 of x")
			})
		}
	}
}

// opener opens empty databases of a target: files of SQLite, and the same one of a server again and again.
func opener(t *testing.T, on target) (open func() (*sql.DB, error), count *int) {
	count = new(int)
	var driver, dsn string
	return func() (*sql.DB, error) {
		*count++
		if dsn == "" || on.wipe == nil {
			driver, dsn = on.fresh(t)
		}
		db, err := sql.Open(driver, dsn)
		if err == nil {
			mustExec(t, db, on.wipe...)
		}
		return db, err
	}, count
}

func TestFaultsComesThroughEachLostConnection(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		open, count := opener(t, on)
		wants(t, migratetest.Faults(t.Context(), open, on.dialect, testOptions(t,
			"1_users.up.sql", "CREATE TABLE users (id int);\nINSERT INTO users VALUES (1);\nINSERT INTO users VALUES (2);\n")))
		if *count < 30 {
			t.Errorf("only %d databases were used", *count)
		}
		t.Logf("%d databases", *count)
	})
}

func TestFaultsEndsWhenNoDatabaseIsToBeHadAnyMore(t *testing.T) {
	t.Parallel()
	good, count := opener(t, onSQLite)
	open := func() (*sql.DB, error) {
		if *count == 4 {
			return nil, errors.New("no more of them")
		}
		return good()
	}
	wants(t, migratetest.Faults(t.Context(), open, onSQLite.dialect, testOptions(t, "1_users.up.sql", "CREATE TABLE users (id int);\n")), "on the way to statement 4", "no more of them")
}

// A migration in Go that has transactions of its own can't be known after a fault, and one that isn't repeatable is found.
func TestFaultsFindsWhatIsDoneTwice(t *testing.T) {
	t.Parallel()
	for _, on := range []target{onSQLite} {
		t.Run(on.name, func(t *testing.T) {
			t.Parallel()
			open, _ := opener(t, on)
			o := testOptions(t, "1_users.up.sql", "-- no-transaction\nCREATE TABLE users (id int);")
			o.Migrate.Sources[0].Go = []migrate.GoMigration{{Version: "2", Name: "twice", NoTransaction: true, Up: func(ctx context.Context, db migrate.DB) error {
				if _, err := db.ExecContext(ctx, "INSERT INTO users VALUES (1)"); err != nil {
					return err
				}
				_, err := db.ExecContext(ctx, "INSERT INTO users VALUES (2)")
				return err
			}}}
			wants(t, migratetest.Faults(t.Context(), open, on.dialect, o), "lost", "INSERT INTO users VALUES (2)", "the next Up doesn't finish", "app:2")
		})
	}
}

func Example_roundTrip() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	app := migrate.Options{Sources: []migrate.Source{{FS: fstest.MapFS{ // the app's own embed.FS
		"1_users.up.sql":   {Data: []byte("CREATE TABLE users (id integer);\nCREATE TABLE teams (id integer);\n")},
		"1_users.down.sql": {Data: []byte("DROP TABLE users;\n")},
	}}}}
	err = migratetest.RoundTrip(context.Background(), db, dialect.SQLite, migratetest.Options{Migrate: app})
	fmt.Println(strings.SplitN(err.Error(), "\n", 2)[0]) // t.Error(err) in a test
	// Output: migratetest: down of app:1 leaves another schema than there was before it (- before, + after up and down):
}

func Example_faults() {
	folder, err := os.MkdirTemp("", "faults")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	n := 0
	open := func() (*sql.DB, error) {
		n++
		return sql.Open("sqlite", "file:"+filepath.Join(folder, fmt.Sprint(n)))
	}
	app := migrate.Options{Sources: []migrate.Source{{FS: fstest.MapFS{
		"1_users.up.sql": {Data: []byte("CREATE TABLE users (id integer);\nINSERT INTO users VALUES (1);\n")},
	}}}}
	fmt.Println(migratetest.Faults(context.Background(), open, dialect.SQLite, migratetest.Options{Migrate: app}))
	// Output: <nil>
}
