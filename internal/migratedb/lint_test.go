package migratedb

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lint"
	"github.com/buffkit/buffkit/migrate/lint/live"
)

func conn(t *testing.T, db *sql.DB) *sql.Conn {
	t.Helper()
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil && !errors.Is(err, sql.ErrConnDone) {
			t.Error(err)
		}
	})
	return c
}

func TestTheLinterKnowsTheServersVersionAndItsTables(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		db := on.open(t)
		mustExec(t, db, "CREATE TABLE numbers (n int PRIMARY KEY, w int)", "CREATE TABLE hollow (n int PRIMARY KEY)")
		const digits = "(SELECT 0 AS d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)"
		mustExec(t, db, "INSERT INTO numbers (n) SELECT a.d + 10*b.d + 100*c.d + 1000*e.d FROM "+digits+" a, "+digits+" b, "+digits+" c, "+digits+" e")
		switch on.dialect {
		case dialect.Postgres:
			mustExec(t, db, "ANALYZE", "CREATE TABLE parts (n int) PARTITION BY RANGE (n)", "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10000)",
				"INSERT INTO parts SELECT n FROM numbers", "ANALYZE parts")
		case dialect.MySQL, dialect.MariaDB:
			mustExec(t, db, "ANALYZE TABLE numbers, hollow")
		}
		o, err := live.Options(t.Context(), conn(t, db), on.dialect, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s", o.Version)
		about := func(table string, want int64) {
			t.Helper()
			if n, known := o.Rows(table); !known || n < want*8/10 || n > want*12/10 {
				t.Errorf("%s: %d rows, %v, want about %d", table, n, known, want)
			}
		}
		about("numbers", 10_000)
		about("hollow", 0)
		if on.dialect == dialect.Postgres {
			about("public.numbers", 10_000)
			about("Numbers", 10_000) // as a script may write it without quotes
			about("parts", 10_000)
		}
		if n, known := o.Rows("nobody"); known {
			t.Errorf("nobody has %d rows", n)
		}
		if _, err := lint.Check(nil, on.dialect, o); err != nil {
			t.Errorf("the linter can't read the server's version: %v", err)
		}
	})
}

func TestThePlanIsLinted(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		db := on.open(t)
		const first = "CREATE TABLE users (id bigint PRIMARY KEY, name varchar(80), nick varchar(80));"
		set := func(refuse lint.Severity, opts *lint.Options) *migrate.Migrator {
			o := of(files("1_users.up.sql", first, "1_users.down.sql", "DROP TABLE users;",
				"2_less.up.sql", "ALTER TABLE users DROP COLUMN nick;", "2_less.down.sql", "ALTER TABLE users ADD COLUMN nick varchar(80);"))
			o.Check = live.Check(refuse, opts)
			return migrator(t, on, db, o)
		}
		if _, err := set(lint.Error, nil).UpTo(t.Context(), migrate.Ref{Version: "1"}); err != nil {
			t.Fatal(err)
		}
		strict := &lint.Options{Severities: map[string]lint.Severity{"drop-column": lint.Error}}
		_, err := set(lint.Error, strict).Up(t.Context())
		if !errors.Is(err, migrate.ErrCheck) || !strings.Contains(err.Error(), "2_less.up.sql:1:") || !strings.Contains(err.Error(), "-- lint:allow drop-column WHY") {
			t.Fatalf("%v", err)
		}
		t.Logf("\n%v", err)
		if n := number(t, db, "SELECT count(*) FROM buffkit_migrations"); n != 1 {
			t.Error("something was run")
		}
		plan, err := set(lint.Error, nil).Plan(t.Context(), migrate.Goal{Do: migrate.DoUp})
		if err != nil || len(plan.Warnings) != 1 || !strings.Contains(plan.Warnings[0], "[drop-column]") {
			t.Errorf("%+v, %v", plan, err)
		}
		res, err := set(lint.Off, strict).Up(t.Context())
		if err != nil || len(res.Warnings) != 1 {
			t.Errorf("%+v, %v", res, err)
		}
	})
}

// A linter that refuses what was begun would leave it unfinished for ever.
func TestWhatWasBegunIsFinishedWhateverTheLinterSays(t *testing.T) {
	t.Parallel()
	db := onMariaDB.open(t)
	set := func(last string) *migrate.Migrator {
		o := of(files("1_a.up.sql", "CREATE TABLE a (id bigint PRIMARY KEY);\nDROP TABLE IF EXISTS old;\n"+last, "1_a.down.sql", ""))
		o.Check = live.Check(lint.Error, &lint.Options{Severities: map[string]lint.Severity{"drop-table": lint.Error}})
		return migrator(t, onMariaDB, db, o)
	}
	o := of(files("1_a.up.sql", "CREATE TABLE a (id bigint PRIMARY KEY);\nDROP TABLE IF EXISTS old;\nnonsense;", "1_a.down.sql", ""))
	if _, err := migrator(t, onMariaDB, db, o).Up(t.Context()); err == nil {
		t.Fatal("no error")
	}
	if _, err := set("CREATE TABLE b (id bigint PRIMARY KEY);").Up(t.Context()); err != nil {
		t.Error(err)
	}
}

// fact is what a rule says of ALTER TABLE in MySQL and MariaDB, as the server sees it: whether it takes the ALGORITHM and LOCK.
type fact struct {
	rule           string
	sql            string
	mysql, mariadb bool // accepted
}

var facts = []fact{
	{"add-column-default", "ALTER TABLE t ADD COLUMN n1 int NOT NULL DEFAULT 5, ALGORITHM=INSTANT", true, true},
	{"add-column-default", "ALTER TABLE t ADD COLUMN n2 datetime NOT NULL DEFAULT CURRENT_TIMESTAMP, ALGORITHM=INSTANT", true, true},
	{"add-column-default", "ALTER TABLE t ADD COLUMN n3 varchar(40) DEFAULT (uuid()), ALGORITHM=INSTANT", false, false},
	{"add-column-default", "ALTER TABLE t ADD COLUMN n4 varchar(40) DEFAULT (concat('a', 'b')), ALGORITHM=INSTANT", false, true},
	{"add-column-default", "ALTER TABLE t ADD COLUMN n5 varchar(40) DEFAULT (now()), ALGORITHM=INSTANT", false, true},
	{"column-position", "ALTER TABLE t ADD COLUMN n6 int FIRST, ALGORITHM=INSTANT", true, true},
	{"column-position", "ALTER TABLE t ADD COLUMN n7 int AFTER name, ALGORITHM=INSTANT", true, true},
	{"add-column-rewrite", "ALTER TABLE t ADD COLUMN n8 int AS (num + 1) STORED, ALGORITHM=INPLACE, LOCK=NONE", false, false},
	{"add-column-rewrite", "ALTER TABLE t ADD COLUMN n9 int AS (num + 1) VIRTUAL, ALGORITHM=INSTANT", true, true},
	{"add-column-rewrite", "ALTER TABLE bare ADD COLUMN n bigint AUTO_INCREMENT UNIQUE, ALGORITHM=INPLACE, LOCK=NONE", false, false},
	{"check-not-valid", "ALTER TABLE t ADD CONSTRAINT c1 CHECK (num >= 0), ALGORITHM=INPLACE", false, false},
	{"check-not-valid", "ALTER TABLE t ADD CONSTRAINT c2 CHECK (num >= 0) NOT ENFORCED, ALGORITHM=INPLACE", true, false}, // MariaDB has no such words
	{"check-not-valid", "ALTER TABLE t ADD COLUMN n10 int CHECK (n10 > 0), ALGORITHM=INSTANT", false, true},
	{"modify-column", "ALTER TABLE t MODIFY state enum('a', 'b', 'c'), ALGORITHM=INSTANT", true, true},
	{"modify-column", "ALTER TABLE t MODIFY state enum('z', 'a', 'b', 'c'), ALGORITHM=INPLACE", false, false},
	{"modify-column", "ALTER TABLE t MODIFY name varchar(63) NOT NULL, ALGORITHM=INPLACE, LOCK=NONE", true, true},
	{"modify-column", "ALTER TABLE t MODIFY name varchar(64) NOT NULL, ALGORITHM=INPLACE, LOCK=NONE", false, false},
	{"modify-column", "ALTER TABLE t MODIFY medium varchar(255), ALGORITHM=INPLACE, LOCK=NONE", true, true},
	{"modify-column", "ALTER TABLE t MODIFY wide varchar(400), ALGORITHM=INPLACE, LOCK=NONE", true, true},
	{"modify-column", "ALTER TABLE t MODIFY num bigint, ALGORITHM=INPLACE", false, false},
	{"modify-column", "ALTER TABLE t MODIFY num int NOT NULL, ALGORITHM=INPLACE, LOCK=NONE", true, true},
	{"foreign-key-copy", "ALTER TABLE t ADD CONSTRAINT f1 FOREIGN KEY (parent) REFERENCES t (id), ALGORITHM=INPLACE, LOCK=NONE", false, false},
	{"foreign-key-copy", "SET SESSION foreign_key_checks = 0; ALTER TABLE t ADD CONSTRAINT f2 FOREIGN KEY (parent) REFERENCES t (id), ALGORITHM=INPLACE, LOCK=NONE", true, true},
	{"convert-charset", "ALTER TABLE t CONVERT TO CHARACTER SET latin1, ALGORITHM=INPLACE", false, false},
	{"change-primary-key", "ALTER TABLE keyed DROP PRIMARY KEY, ALGORITHM=INPLACE", false, false},
	{"change-primary-key", "ALTER TABLE keyed DROP PRIMARY KEY, ADD PRIMARY KEY (b, a), ALGORITHM=INPLACE, LOCK=NONE", true, true},
	{"fulltext-index", "ALTER TABLE t ADD FULLTEXT INDEX ft (wide), ALGORITHM=INPLACE, LOCK=NONE", false, false},
	{"fulltext-index", "ALTER TABLE t ADD FULLTEXT INDEX ft (wide), ALGORITHM=INPLACE, LOCK=SHARED", true, true},
	{"table-rebuild", "ALTER TABLE t ENGINE=InnoDB, ALGORITHM=INPLACE, LOCK=NONE", true, true},
	{"table-rebuild", "ALTER TABLE t ROW_FORMAT=DYNAMIC, ALGORITHM=INPLACE, LOCK=NONE", true, true},
	{"table-rebuild", "ALTER TABLE t ROW_FORMAT=COMPACT, ALGORITHM=INPLACE, LOCK=NONE", true, true},
	{"table-rebuild", "ALTER TABLE keyed ALGORITHM=INPLACE PARTITION BY HASH (a) PARTITIONS 2", false, false},
	{"table-rebuild", "ALTER TABLE t ORDER BY num, ALGORITHM=INPLACE", false, false},
	{"table-rebuild", "ALTER TABLE keyed PARTITION BY HASH (a) PARTITIONS 2; ALTER TABLE keyed ALGORITHM=INPLACE, LOCK=NONE, ADD PARTITION PARTITIONS 1", false, false},
	{"algorithm-unstated", "ALTER TABLE t RENAME COLUMN num TO number, ALGORITHM=INSTANT", true, true},
	{"algorithm-unstated", "ALTER TABLE t ALTER COLUMN num SET DEFAULT 7, ALGORITHM=INSTANT", true, true},
	{"algorithm-unstated", "ALTER TABLE t ADD INDEX i1 (num), ALGORITHM=INPLACE, LOCK=NONE", true, true},
	{"algorithm-unstated", "CREATE INDEX i2 ON t (num) ALGORITHM=INPLACE LOCK=NONE", true, true},
	{"drop-column", "ALTER TABLE t DROP COLUMN medium, ALGORITHM=INSTANT", true, true},
}

func TestWhatTheRulesSayOfAlterTableIsWhatTheServersDo(t *testing.T) {
	t.Parallel()
	for _, on := range []target{onMySQL, onMariaDB} {
		t.Run(on.name, func(t *testing.T) {
			t.Parallel()
			db := on.open(t)
			right := 0
			for _, f := range facts {
				c := conn(t, db)
				for _, query := range []string{
					"DROP TABLE IF EXISTS t, bare, keyed",
					"CREATE TABLE t (id bigint PRIMARY KEY, name varchar(50) NOT NULL, medium varchar(90), wide varchar(300), num int, state enum('a', 'b'), parent bigint, KEY (parent)) CHARSET=utf8mb4",
					"CREATE TABLE bare (a int)", "CREATE TABLE keyed (a int NOT NULL, b int NOT NULL, PRIMARY KEY (a, b))",
					"INSERT INTO t (id, name, num, state) VALUES (1, 'x', 1, 'a'), (2, 'y', 2, 'b')", "INSERT INTO bare VALUES (1), (2)", "INSERT INTO keyed VALUES (1, 1)",
				} {
					if _, err := c.ExecContext(t.Context(), query); err != nil {
						t.Fatalf("%s: %v", query, err)
					}
				}
				var err error
				for query := range strings.SplitSeq(f.sql, "; ") {
					_, err = c.ExecContext(t.Context(), query)
				}
				want := f.mysql
				if on.dialect == dialect.MariaDB {
					want = f.mariadb
				}
				if (err == nil) != want {
					t.Errorf("%s: %s: accepted %v, the rule says %v: %v", f.rule, f.sql, err == nil, want, err)
				} else {
					right++
				}
				if err := c.Raw(func(any) error { return context.Canceled }); err == nil {
					t.Error("raw")
				}
				_, _ = c.ExecContext(t.Context(), "SET SESSION foreign_key_checks = 1")
				_ = c.Close()
			}
			t.Logf("%d of %d facts are as the rules say", right, len(facts))
		})
	}
}

// PostgreSQL gives a table another file when it rewrites it.
func TestWhatTheRulesSayOfRewritesIsWhatPostgreSQLDoes(t *testing.T) {
	t.Parallel()
	db := onPostgres.open(t)
	mustExec(t, db, "CREATE TABLE t (id bigint PRIMARY KEY, n int)", "INSERT INTO t VALUES (1, 1)", "CREATE DOMAIN plain AS int", "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
		"CREATE DOMAIN later AS int", "ALTER DOMAIN later ADD CONSTRAINT c CHECK (VALUE > 0)")
	for sql, rewrites := range map[string]bool{
		"ADD COLUMN a positive":                                true,
		"ADD COLUMN b later":                                   true,
		"ADD COLUMN c plain":                                   false,
		"ADD COLUMN d plain DEFAULT 7":                         false,
		"ADD COLUMN e timestamptz DEFAULT now()":               false,
		"ADD COLUMN f int GENERATED ALWAYS AS (n + 1) STORED":  true,
		"ADD COLUMN g bigint GENERATED BY DEFAULT AS IDENTITY": true,
		"ADD COLUMN h timestamptz DEFAULT clock_timestamp()":   true,
		"ALTER COLUMN id TYPE int":                             true,
	} {
		const file = "SELECT pg_relation_filenode('t')"
		before := number(t, db, file)
		mustExec(t, db, "ALTER TABLE t "+sql)
		if rewritten := number(t, db, file) != before; rewritten != rewrites {
			t.Errorf("%s: rewritten %v, the rule says %v", sql, rewritten, rewrites)
		}
	}
}

// asOurs takes out of a rebuild what our runner does itself, and refuses in a file: it is there for others.
type asOurs struct{ fs.FS }

func (f asOurs) Open(name string) (fs.File, error) {
	if name != "0008_rebuild_users.sql" {
		return f.FS.Open(name)
	}
	all, err := fs.ReadFile(f.FS, name)
	if err != nil {
		return nil, err
	}
	for _, line := range []string{"-- no-transaction\n", "PRAGMA foreign_keys = OFF;\n", "BEGIN IMMEDIATE;\n", "PRAGMA foreign_key_check;\n", "\nCOMMIT;", "PRAGMA foreign_keys = ON;\n"} {
		all = bytes.Replace(all, []byte(line), nil, 1)
	}
	return files(name, string(all)).Open(name)
}

// The corpus that counts false positives is one that works.
func TestTheSaneMigrationsRunOnRealServersAndDrawNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		folder := map[dialect.Dialect]string{dialect.Postgres: "postgres", dialect.MySQL: "mysql", dialect.MariaDB: "mysql", dialect.SQLite: "sqlite"}[on.dialect]
		db := on.open(t)
		opts := of(asOurs{os.DirFS(filepath.Join("..", "..", "migrate", "lint", "testdata", "sane", folder))})
		opts.Check = live.Check(lint.Warning, nil)
		res, err := migrator(t, on, db, opts).Up(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d migrations, all applied; findings at warning or above, live: %d", len(res.Steps), len(res.Warnings))
	})
}
