package migratedb

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/seed"
)

const shops = `CREATE TABLE countries (code varchar(2) PRIMARY KEY, name varchar(80) NOT NULL, people bigint);
CREATE TABLE settings (name varchar(80) PRIMARY KEY, value varchar(200));
CREATE TABLE users (id bigint PRIMARY KEY, email varchar(80) UNIQUE, note varchar(200) DEFAULT 'new', score numeric(8,2));
`

// seeder is one on a database that has the tables.
func seeder(t *testing.T, on target, db *sql.DB, opts seed.Options) *seed.Seeder {
	t.Helper()
	opts.Migrate.Logger = quiet(t)
	s, err := seed.New(db, on.dialect, &opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func withShops(t *testing.T, on target) *sql.DB {
	t.Helper()
	db := on.open(t)
	if _, err := migrator(t, on, db, of(files("1_shops.up.sql", shops))).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

func text(t *testing.T, db *sql.DB, query string) string {
	t.Helper()
	var s sql.NullString
	if err := db.QueryRowContext(t.Context(), query).Scan(&s); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	if !s.Valid {
		return "NULL"
	}
	return s.String
}

func applied(t *testing.T, s *seed.Seeder) int {
	t.Helper()
	res, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return len(res.Steps)
}

// Whoever seeds doesn't have the app's files, so the ledger must know what a squash that was run stands for.
func TestASeedMayDependOnWhatASquashStandsFor(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		first := on.open(t)
		old := migrator(t, on, first, of(files(three...)))
		mustUp(t, old, 3)
		q, err := old.Squash(t.Context(), migrate.Ref{Version: "3"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		fsys := squashed(q)
		second, third := on.open(t), on.open(t)
		mustUp(t, migrator(t, on, second, of(fsys)), 1)
		if err := migrator(t, on, third, of(fsys)).Baseline(t.Context(), migrate.Ref{Version: "3"}); err != nil {
			t.Fatal(err)
		}
		for name, db := range map[string]*sql.DB{"where all were run": first, "where the squash was": second, "where it is the baseline": third} {
			s := seeder(t, on, db, seed.Options{FS: files("1_a.sql", "-- depends: app:1\nSELECT 1;\n", "2_b.sql", "-- depends: app:02, app:3\nSELECT 1;\n"), Environment: "test"})
			if n := applied(t, s); n != 2 {
				t.Errorf("%s: %d seeds ran", name, n)
			}
		}
		s := seeder(t, on, second, seed.Options{FS: files("3_c.sql", "-- depends: app:4\nSELECT 1;\n"), Environment: "test"})
		if _, err := s.Run(t.Context()); !errors.Is(err, migrate.ErrDepends) {
			t.Errorf("%v", err)
		}
	})
}

func TestSeedsRunOnceAndByEnvironment(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		db := withShops(t, on)
		fsys := files(
			"1_countries.csv", "# depends: app:1\n# null:\ncode,name,people\nde,\"Germany, Federal\",83000000\nfr,France,\n",
			"2_settings.sql", "-- all need them\nINSERT INTO settings (name, value) VALUES ('lang', 'en');\n",
			"development/3_users.jsonl", `{"id": 1, "email": "ada@example.org", "score": 12.5}`+"\n"+`{"id": 2, "email": "bob@example.org", "note": null}`+"\n",
			"4_other.sql", "-- env: test\nINSERT INTO settings (name, value) VALUES ('test', 'yes');\n",
			"test/5_users.json", `[{"id": 3, "email": "eve@example.org"}]`,
		)
		s := seeder(t, on, db, seed.Options{FS: fsys, Environment: "development"})
		if n := applied(t, s); n != 3 {
			t.Errorf("%d seeds ran, want 3", n)
		}
		if n := applied(t, s); n != 0 {
			t.Errorf("%d seeds ran again", n)
		}
		for query, want := range map[string]string{
			"SELECT name FROM countries WHERE code = 'de'":                  "Germany, Federal",
			"SELECT people FROM countries WHERE code = 'fr'":                "NULL",
			"SELECT note FROM users WHERE id = 1":                           "new", // the column's default, since its row doesn't name it
			"SELECT note FROM users WHERE id = 2":                           "NULL",
			"SELECT count(*) FROM settings":                                 "1",
			"SELECT count(*) FROM users":                                    "2",
			"SELECT count(*) FROM users WHERE score > 12.4":                 "1",
			"SELECT count(*) FROM buffkit_migrations WHERE source = 'seed'": "3",
		} {
			if got := text(t, db, query); got != want {
				t.Errorf("%s: %s, want %s", query, got, want)
			}
		}
		if n := applied(t, seeder(t, on, db, seed.Options{FS: fsys, Environment: "test"})); n != 2 {
			t.Errorf("%d seeds ran in test, want 2", n)
		}
		// The app's own runner isn't disturbed by rows of another source.
		if err := migrator(t, on, db, of(files("1_shops.up.sql", shops))).Validate(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestARepeatableSeedRunsAgainWhenItChanges(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		db := withShops(t, on)
		set := func(csv, sqlText string) *seed.Seeder {
			return seeder(t, on, db, seed.Options{FS: files("1_countries.csv", csv, "2_settings.sql", sqlText), Environment: "development"})
		}
		const upsert = "-- repeatable\nDELETE FROM settings WHERE name = 'lang';\nINSERT INTO settings (name, value) VALUES ('lang', '%s');\n"
		first := set("# repeatable\ncode,name\nde,Germany\nfr,France\n", fmt.Sprintf(upsert, "en"))
		if n := applied(t, first); n != 2 {
			t.Fatalf("%d ran", n)
		}
		if n := applied(t, set("# repeatable\r\ncode,name\r\nde,Germany\r\nfr,France\r\n", fmt.Sprintf(upsert, "en"))); n != 0 {
			t.Errorf("%d ran for other line ends", n)
		}
		changed := set("# repeatable\ncode,name\nde,Deutschland\nit,Italia\n", fmt.Sprintf(upsert, "de"))
		if infos, err := changed.Status(t.Context()); err != nil || len(infos) != 2 || infos[0].State != migrate.Changed {
			t.Errorf("%+v, %v", infos, err)
		}
		if n := applied(t, changed); n != 2 {
			t.Errorf("%d ran", n)
		}
		if n := applied(t, changed); n != 0 {
			t.Errorf("%d ran once more", n)
		}
		if got := text(t, db, "SELECT name FROM countries WHERE code = 'de'"); got != "Deutschland" || number(t, db, "SELECT count(*) FROM countries") != 3 {
			t.Errorf("%s", got)
		}
		if got := text(t, db, "SELECT value FROM settings"); got != "de" {
			t.Errorf("%s", got)
		}
		// One that runs once may not change.
		once := seeder(t, on, db, seed.Options{FS: files("1_countries.csv", "code,name\nde,x\n"), Environment: "development"})
		if _, err := once.Run(t.Context()); !errors.Is(err, migrate.ErrDrift) {
			t.Errorf("%v", err)
		}
	})
}

// On MySQL DDL commits by itself, so a repeatable script with some is run block by block, with the journal.
func TestARepeatableMigrationWithDDLRunsAgain(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		db := on.open(t)
		view := func(n int) migrate.Options {
			return of(files("1_v.up.sql", fmt.Sprintf("-- repeatable\nDROP VIEW IF EXISTS v;\nCREATE VIEW v AS SELECT %d AS n;\n", n), "1_v.down.sql", "DROP VIEW v;"))
		}
		for n := range 3 {
			res, err := migrator(t, on, db, view(n)).Up(t.Context())
			if err != nil || len(res.Steps) != 1 || number(t, db, "SELECT n FROM v") != n {
				t.Fatalf("%+v, %v", res, err)
			}
		}
		bad := of(files("1_v.up.sql", "-- repeatable\nDROP VIEW IF EXISTS nothing_there;\nCREATE VIEW v AS SELEC 1;\n"))
		if _, err := migrator(t, on, db, bad).Up(t.Context()); err == nil {
			t.Fatal("no error")
		}
		if _, err := migrator(t, on, db, view(7)).Up(t.Context()); on.name != "mysql" && on.name != "mariadb" && (err != nil || number(t, db, "SELECT n FROM v") != 7) {
			t.Errorf("after a failure: %v", err)
		}
	})
}

func TestProductionWantsSeedsByName(t *testing.T) {
	t.Parallel()
	db := withShops(t, onSQLite)
	fsys := files("1_countries.csv", "code,name\nde,Germany\n", "2_settings.sql", "-- env: production\nINSERT INTO settings VALUES ('a', 'b');\n",
		"development/3_users.csv", "id\n1\n")
	_, err := seeder(t, onSQLite, db, seed.Options{FS: fsys, Environment: "production"}).Run(t.Context())
	if !errors.Is(err, seed.ErrProduction) || !strings.Contains(err.Error(), "1_countries.csv") || strings.Contains(err.Error(), "2_settings") {
		t.Fatalf("%v", err)
	}
	if n := number(t, db, "SELECT count(*) FROM settings"); n != 0 {
		t.Error("something was run")
	}
	if n := applied(t, seeder(t, onSQLite, db, seed.Options{FS: fsys, Environment: "production", Only: []migrate.Version{"1"}})); n != 1 {
		t.Errorf("%d ran by name", n)
	}
	if n := applied(t, seeder(t, onSQLite, db, seed.Options{FS: fsys, Environment: "production"})); n != 1 || number(t, db, "SELECT count(*) FROM users") != 0 {
		t.Errorf("%d ran, want the one that says production", n)
	}
	if _, err := seed.New(db, dialect.SQLite, &seed.Options{FS: fsys}); err == nil || !strings.Contains(err.Error(), "which environment") {
		t.Errorf("%v", err)
	}
}

func TestProductionIsKnownInCapitalsAndRefusesVagueDependencies(t *testing.T) {
	t.Parallel()
	db := withShops(t, onSQLite)
	fsys := files("1_countries.csv", "code,name\nde,Germany\n", "2_countries.csv", "# depends: 1\n# env: PROD\ncode,name\nfr,France\n",
		"3_settings.sql", "-- depends: seed:2\nINSERT INTO settings VALUES ('a', 'b');\n", "4_users.csv", "id\n1\n")
	run := func(env string, again bool, only ...migrate.Version) (int, error) {
		res, err := seeder(t, onSQLite, db, seed.Options{FS: fsys, Environment: env, Again: again, Only: only}).Run(t.Context())
		if err != nil {
			return 0, err
		}
		return len(res.Steps), nil
	}
	for _, env := range []string{"Production", "PROD", "Live ", "production"} {
		if _, err := run(env, false); !errors.Is(err, seed.ErrProduction) {
			t.Errorf("%q: %v", env, err)
		}
	}
	_, err := run("PROD", false, "3")
	if !errors.Is(err, seed.ErrProduction) || !strings.Contains(err.Error(), "1_countries.csv") || strings.Contains(err.Error(), "2_countries") ||
		strings.Contains(err.Error(), "4_users") {
		t.Fatalf("%v", err)
	}
	if n := number(t, db, "SELECT count(*) FROM countries"); n != 0 {
		t.Error("something was run")
	}
	if n, err := run("PROD", false, "3", "1"); n != 3 || err != nil {
		t.Errorf("%d ran, %v", n, err)
	}
	if n, err := run("PROD", true, "2"); n != 1 || err != nil {
		t.Errorf("%d ran again, although it depends on one that has run: %v", n, err)
	}
	// What has run may not run again there without its name.
	if _, err := run("PROD", true); !errors.Is(err, seed.ErrProduction) || !strings.Contains(err.Error(), "1_countries.csv, 3_settings.sql") {
		t.Errorf("%v", err)
	}
}

// The ledger doesn't see that the tables were made anew.
func TestSeedsRunAgainBehindAReset(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		db := on.open(t)
		app := migrator(t, on, db, of(files("1_shops.up.sql", shops, "1_shops.down.sql", "DROP TABLE countries;\nDROP TABLE settings;\nDROP TABLE users;\n")))
		if _, err := app.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		set := func(again bool, countries string, only ...migrate.Version) *seed.Seeder {
			return seeder(t, on, db, seed.Options{FS: files("1_countries.csv", countries, "2_settings.sql", "INSERT INTO settings (name, value) VALUES ('lang', 'en');\n"),
				Environment: "development", Again: again, Only: only})
		}
		const germany, france = "code,name\nde,Germany\n", "code,name\nfr,France\n"
		if n := applied(t, set(false, germany)); n != 2 {
			t.Fatalf("%d seeds ran", n)
		}
		res, err := app.Reset(t.Context())
		if err != nil || !strings.Contains(strings.Join(res.Warnings, " "), "2 seeds as applied") || !strings.Contains(res.Warnings[0], "buffkit seed --again") {
			t.Fatalf("%+v, %v", res, err)
		}
		if _, err := app.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := applied(t, set(false, germany)); n != 0 {
			t.Errorf("%d seeds ran", n)
		}
		if plan, err := set(true, germany).Plan(t.Context()); err != nil || len(plan.Steps) != 2 || !strings.Contains(strings.Join(plan.Steps[0].Notes, " "), "again, as asked for") {
			t.Errorf("%+v, %v", plan, err)
		}
		if n := applied(t, set(true, germany, "2")); n != 1 || number(t, db, "SELECT count(*) FROM settings") != 1 {
			t.Errorf("%d seeds ran by name", n)
		}
		mustExec(t, db, "DELETE FROM settings")
		if n := applied(t, set(true, france)); n != 2 || number(t, db, "SELECT count(*) FROM settings") != 1 || text(t, db, "SELECT name FROM countries") != "France" {
			t.Errorf("%d seeds ran", n)
		}
		// It is the file that ran last which the ledger has now.
		if n := applied(t, set(false, france)); n != 0 || number(t, db, "SELECT count(*) FROM buffkit_migrations WHERE source = 'seed'") != 2 {
			t.Errorf("%d seeds ran", n)
		}
	})
}

// A seed that ran before stands in the ledger with the same checksum, whether its COMMIT took effect or not.
func TestACommitOfASeedAgainThatIsLostIsFoundOut(t *testing.T) {
	t.Parallel()
	on := onPostgres
	driverName, dsn := on.fresh(t)
	other := openDB(t, driverName, dsn)
	mustExec(t, other, "CREATE TABLE settings (name varchar(80) PRIMARY KEY, value varchar(200))")
	armed := false
	w := &wire{before: func(_ int64, query string) {
		if armed && query == "COMMIT" {
			armed = false
			mustExec(t, other, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'")
		}
	}}
	db, err := w.open(driverName, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s := func(again bool) *seed.Seeder {
		return seeder(t, on, db, seed.Options{FS: files("1_settings.csv", "name,value\nlang,en\n"), Environment: "development", Again: again})
	}
	if n := applied(t, s(false)); n != 1 {
		t.Fatalf("%d seeds ran", n)
	}
	mustExec(t, db, "DELETE FROM settings")
	armed = true
	_, err = s(true).Run(t.Context())
	var failed *migrate.StepError
	if !errors.As(err, &failed) || failed.Left != migrate.LeftNothing || armed {
		t.Fatalf("%v", err)
	}
	if n := applied(t, s(true)); n != 1 || number(t, db, "SELECT count(*) FROM settings") != 1 {
		t.Errorf("%d seeds ran", n)
	}
}

func TestASeedBeforeTheMigrationItNeedsSaysWhatToRun(t *testing.T) {
	t.Parallel()
	_, err := seeder(t, onSQLite, onSQLite.open(t), seed.Options{FS: files("1_users.csv", "# depends: app:1\nid\n1\n"), Environment: "development"}).Run(t.Context())
	if !errors.Is(err, migrate.ErrDepends) || !strings.Contains(err.Error(), "app:1, which isn't applied") || !strings.Contains(err.Error(), "run buffkit migrate up") {
		t.Errorf("%v", err)
	}
}

func TestASeedThatChangesBehindItsPlanIsRefused(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		db := withShops(t, on)
		for name, now := range map[string]string{"other rows": "code,name\nfr,France\n", "a row more": "code,name\nde,Germany\nfr,France\n", "half a row": "code,name\nde", "none": ""} {
			fsys := fstest.MapFS{"1_countries.csv": {Data: []byte("code,name\nde,Germany\n")}}
			s := seeder(t, on, db, seed.Options{FS: fsys, Environment: "development"})
			fsys["1_countries.csv"] = &fstest.MapFile{Data: []byte(now)}
			if _, err := s.Run(t.Context()); !errors.Is(err, migrate.ErrChanged) || !strings.Contains(err.Error(), "1_countries.csv") {
				t.Errorf("%s: %v", name, err)
			}
			if n := number(t, db, "SELECT count(*) FROM countries"); n != 0 {
				t.Errorf("%s: %d rows", name, n)
			}
		}
		if n := applied(t, seeder(t, on, db, seed.Options{FS: files("1_countries.csv", "code,name\nfr,France\n"), Environment: "development"})); n != 1 {
			t.Errorf("%d ran", n)
		}
	})
}

func TestANumberKeepsItsDigitsInTextAndIsOneElsewhere(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		db := on.open(t)
		mustExec(t, db, "CREATE TABLE n (id bigint PRIMARY KEY, t varchar(80), d numeric(8,2))")
		s := seeder(t, on, db, seed.Options{FS: files("1_n.jsonl", `{"id": 1, "t": 1.50, "d": 1.50}`+"\n"+`{"id": 2, "t": 123456789012345678901234, "d": 2e1}`+"\n"+`{"id": 3, "t": 7, "d": 7}`),
			Environment: "development"})
		if n := applied(t, s); n != 1 {
			t.Fatalf("%d ran", n)
		}
		for query, want := range map[string]string{
			"SELECT t FROM n WHERE id = 1":                       "1.50",
			"SELECT t FROM n WHERE id = 2":                       "123456789012345678901234",
			"SELECT t FROM n WHERE id = 3":                       "7",
			"SELECT count(*) FROM n WHERE d IN (1.5, 20, 7)":     "3",
			"SELECT count(*) FROM n WHERE d > 1.4 AND d < 20.01": "3",
		} {
			if got := text(t, db, query); got != want {
				t.Errorf("%s: %s, want %s", query, got, want)
			}
		}
	})
}

// Two rows that begin alike would be one to such an index.
func TestAnIndexOnABeginningIsNoKey(t *testing.T) {
	t.Parallel()
	for _, on := range []target{onMariaDB, onMySQL} {
		t.Run(on.name, func(t *testing.T) {
			t.Parallel()
			db := on.open(t)
			mustExec(t, db, "CREATE TABLE docs (id bigint, title varchar(200), body varchar(200), UNIQUE (title(4)), UNIQUE (id, body(4)), UNIQUE (id))")
			run := func(text string) error {
				_, err := seeder(t, on, db, seed.Options{FS: files("1_docs.csv", text), Environment: "development"}).Run(t.Context())
				return err
			}
			for _, key := range []string{"title", "id, body"} {
				if err := run("# key: " + key + "\nid,title,body\n1,abcd1,x\n2,abcd2,y\n"); err == nil || !strings.Contains(err.Error(), "no unique index on the whole of "+key) {
					t.Errorf("%s: %v", key, err)
				}
			}
			if err := run("# key: id\nid,title\n1,abcd\n2,efgh\n"); err != nil {
				t.Error(err)
			}
		})
	}
}

// docs/seeds.md shows it.
func TestASequenceIsSetBehindRowsThatBringTheirNumbers(t *testing.T) {
	t.Parallel()
	db := onPostgres.open(t)
	mustExec(t, db, "CREATE TABLE users (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, email text)")
	s := seeder(t, onPostgres, db, seed.Options{FS: files("3_users.csv", "id,email\n1,ada@example.org\n2,bob@example.org\n",
		"4_numbers.sql", "-- depends: 3\nSELECT setval(pg_get_serial_sequence('users', 'id'), (SELECT max(id) FROM users));\n"), Environment: "development"})
	if n := applied(t, s); n != 2 {
		t.Fatalf("%d ran", n)
	}
	mustExec(t, db, "INSERT INTO users (email) VALUES ('eve@example.org')")
	if n := number(t, db, "SELECT max(id) FROM users"); n != 3 {
		t.Errorf("%d", n)
	}
}

func TestAKeyMeansUpsertAndAForeignOneIsRefused(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		db := withShops(t, on)
		mustExec(t, db, "INSERT INTO users (id, email, note) VALUES (1, 'ada@example.org', 'kept')")
		run := func(name, text string) error {
			_, err := seeder(t, on, db, seed.Options{FS: files(name, text), Environment: "development"}).Run(t.Context())
			return err
		}
		if err := run("1_users.csv", "# key: email\nid,email,score\n1,ada@example.org,3\n1,ada@example.org,4.25\n"); err != nil {
			t.Fatal(err)
		}
		if got := text(t, db, "SELECT note FROM users WHERE score > 4"); got != "kept" {
			t.Errorf("%s", got)
		}
		for name, tt := range map[string]struct{ file, text, says string }{
			"a key that isn't unique":   {"2_users.csv", "# key: note\nid,note\n1,x\n", "users"},
			"no such table":             {"3_nobody.csv", "id\n1\n", "no table nobody"},
			"a row without the key":     {"4_users.jsonl", `{"email": "x"}`, "has no id"},
			"a value that doesn't fit":  {"5_countries.csv", "code,name,people\nxx,X,1\nyy,Y,many\n", "lines 2 to 3"},
			"a line with other columns": {"6_countries.csv", "code,name\nxx,X,1\n", "line 2, column"},
		} {
			if on.name == "sqlite" && strings.Contains(name, "fit") {
				continue // it takes any value
			}
			err := run(tt.file, tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), tt.file) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n := number(t, db, "SELECT count(*) FROM countries"); n != 0 {
			t.Errorf("%d rows of a failed seed are left", n)
		}
	})
}

// big is a file that is made while it is read.
type big struct {
	name, head string
	line       func(n int) string
	size       int64
}

func (b big) Open(name string) (fs.File, error) {
	if name == "." {
		return fs.FS(files(b.name, "x")).Open(".")
	}
	return &bigFile{big: b, rest: b.head}, nil
}

func (b big) ReadDir(string) ([]fs.DirEntry, error) { return fs.ReadDir(files(b.name, "x"), ".") }

type bigFile struct {
	big
	rest string
	n    int
	read int64
}

func (f *bigFile) Read(p []byte) (int, error) {
	for f.rest == "" {
		if f.read >= f.size {
			return 0, io.EOF
		}
		f.n++
		f.rest = f.line(f.n)
	}
	n := copy(p, f.rest)
	f.rest, f.read = f.rest[n:], f.read+int64(n)
	return n, nil
}

func (f *bigFile) Stat() (fs.FileInfo, error) { return fs.Stat(files(f.name, "x"), f.name) }
func (f *bigFile) Close() error               { return nil }

// heap samples the memory in use until stop is called, which returns its peak above the beginning.
func heap() (stop func() uint64) {
	read := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse
	}
	runtime.GC()
	var peak atomic.Uint64
	base, end := read(), make(chan struct{})
	var sampling sync.WaitGroup
	sampling.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
				peak.Store(max(peak.Load(), read()))
			}
		}
	})
	return func() uint64 {
		close(end)
		sampling.Wait()
		return max(peak.Load(), base) - base
	}
}

// mostHeap is what a seed of any size may take: a batch or a statement of 1 MiB some times over, and what the collector leaves lying.
const mostHeap = 32 << 20

// large is how large a file is that must not be held in memory.
func large() int64 {
	if thorough() {
		return 100 << 20
	}
	return 40 << 20 // the race detector makes the lexer slow
}

// It isn't parallel, so that nobody else's memory is counted.
func TestALargeSeedTakesBoundedMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 120 MB")
	}
	pad := strings.Repeat("x", 960)
	for _, b := range []big{
		{"1_events.csv", "id,note\n", func(n int) string { return fmt.Sprintf("%d,%s\n", n, pad) }, large()},
		{"1_events.jsonl", "", func(n int) string { return fmt.Sprintf("{\"id\": %d, \"note\": \"%s\"}\n", n, pad) }, large()},
		{"1_events.sql", "", func(n int) string { return fmt.Sprintf("INSERT INTO events VALUES (%d, '%s');\n", n, pad) }, large()},
	} {
		t.Run(b.name, func(t *testing.T) {
			db := onSQLite.open(t)
			mustExec(t, db, "CREATE TABLE events (id INTEGER PRIMARY KEY, note TEXT)")
			stop, begun := heap(), time.Now()
			s, err := seed.New(db, dialect.SQLite, &seed.Options{FS: b, Environment: "development"})
			if err != nil {
				t.Fatal(err)
			}
			res, err := s.Run(t.Context())
			peak := stop()
			if err != nil || len(res.Steps) != 1 {
				t.Fatalf("%+v, %v", res, err)
			}
			n := number(t, db, "SELECT count(*) FROM events")
			t.Logf("%s: %d MiB, %d rows, peak heap %.1f MiB above the start, %v", b.name, b.size>>20, n, float64(peak)/(1<<20), time.Since(begun).Round(time.Second/10))
			if n < int(b.size/1100) || peak > mostHeap {
				t.Errorf("%d rows, %d bytes of heap", n, peak)
			}
		})
	}
}
