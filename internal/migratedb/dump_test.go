package migratedb

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
	"github.com/buffkit/buffkit/migrate/schema"
)

// execute sends a file's statements on one connection.
func execute(t *testing.T, db *sql.DB, d dialect.Dialect, text string) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for st, err := range lexer.Split(strings.NewReader(text), d, nil) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.ExecContext(t.Context(), st.SQL); err != nil {
			t.Fatalf("%v\n%s", err, st.SQL)
		}
	}
}

func dump(t *testing.T, on target, db *sql.DB) string {
	t.Helper()
	var text strings.Builder
	if _, err := migrator(t, on, db, of(files())).Dump(t.Context(), &text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// everything is a file of all kinds of objects.
func everything(t *testing.T, on target) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "dump", on.name+".sql"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestADumpMakesAnEmptyDatabaseTheSame(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		driver, dsn := on.fresh(t)
		db := openDB(t, driver, dsn)
		execute(t, db, on.dialect, everything(t, on))
		first := dump(t, on, db)
		t.Logf("\n%s", first)
		if strings.Contains(first, "NOT IN THIS FILE") {
			t.Error("something is left out")
		}
		if again := dump(t, on, db); again != first {
			t.Error("two dumps of one database differ")
		}
		copyDriver, copyDSN := on.fresh(t)
		other := openDB(t, copyDriver, copyDSN)
		execute(t, other, on.dialect, first)
		if name := dsn[strings.LastIndex(dsn, "/")+1:]; isMySQL(on) && strings.Contains(first, name) {
			t.Errorf("the name of the database %s is in its dump", name)
		}
		if second := dump(t, on, other); second != first {
			t.Errorf("the dump of the copy differs:\n%s", differ(first, second))
		}
		if on.dialect == dialect.Postgres {
			if a, b := pgDump(t, dsn), pgDump(t, copyDSN); a != b {
				t.Errorf("pg_dump sees a difference:\n%s", differ(a, b))
			}
		}
	})
}

// differ shows the lines that are in one text alone.
func differ(a, b string) string {
	var out strings.Builder
	for _, side := range []struct{ mark, text, other string }{{"-", a, b}, {"+", b, a}} {
		there := map[string]int{}
		for line := range strings.Lines(side.other) {
			there[line]++
		}
		for line := range strings.Lines(side.text) {
			if there[line]--; there[line] < 0 {
				fmt.Fprintf(&out, "%s %s", side.mark, line)
			}
		}
	}
	if out.Len() == 0 {
		return "the order of lines alone"
	}
	return out.String()
}

// pgDump is the oracle: what PostgreSQL's own program says of a database.
func pgDump(t *testing.T, dsn string) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump")
	program, err := exec.LookPath("pg_dump")
	if len(found) > 0 {
		program, err = found[len(found)-1], nil
	}
	if err != nil {
		t.Fatal("pg_dump isn't installed: it comes with the server")
	}
	text, err := exec.CommandContext(t.Context(), program, "--schema-only", "--no-owner", "--no-privileges", dsn).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return regexp.MustCompile(`(?m)^\\(un)?restrict .*$`).ReplaceAllString(string(text), "")
}

func TestADumpLeavesTheLedgerAndTheDataOut(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		migrated, plain := on.open(t), on.open(t)
		mustExec(t, plain, "CREATE TABLE users (id int)", "CREATE TABLE teams (id int)")
		if _, err := migrator(t, on, migrated, of(twoTables)).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if a, b := dump(t, on, migrated), dump(t, on, plain); a != b || strings.Contains(a, "buffkit_migrations") {
			t.Errorf("%s", differ(a, b))
		}
	})
}

// What can't be written is told in the file and to the caller.
func TestADumpSaysWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		on         target
		made, says string
	}{
		{onPostgres, "CREATE TEXT SEARCH CONFIGURATION public.mine (COPY = english)", "text search configuration public.mine"},
		{onPostgres, "CREATE OPERATOR public.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)", "operator public.===(integer,integer)"},
		{onPostgres, "CREATE PUBLICATION p FOR ALL TABLES", "publication p"},
		{onSQLite, "PRAGMA user_version = 7", "PRAGMA user_version, which is 7"},
	} {
		t.Run(tt.says, func(t *testing.T) {
			t.Parallel()
			db := tt.on.open(t)
			mustExec(t, db, tt.made)
			var text strings.Builder
			omitted, err := migrator(t, tt.on, db, of(files())).Dump(t.Context(), &text)
			if err != nil || len(omitted) != 1 || omitted[0] != tt.says || !strings.Contains(text.String(), "-- NOT IN THIS FILE: "+tt.says) {
				t.Errorf("%q, %v\n%s", omitted, err, text.String())
			}
		})
	}
}

func TestDiffShowsTheLinesThatDiffer(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		read := func(queries ...string) *schema.Schema {
			db := on.open(t)
			mustExec(t, db, queries...)
			s, err := migrator(t, on, db, of(files())).Schema(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		a := read("CREATE TABLE same (id int)", "CREATE TABLE users (\n  id int\n)")
		b := read("CREATE TABLE same (id int)", "CREATE TABLE users (\n  id int,\n  name text\n)", "CREATE TABLE more (id int)")
		diff := schema.Diff(a, b)
		if schema.Diff(a, a) != "" || strings.Contains(diff, "same") || !strings.Contains(diff, "+ ") || !strings.Contains(diff, "name") ||
			!strings.Contains(diff, "more") || strings.Contains(diff, "- ") {
			t.Errorf("\n%s", diff)
		}
	})
}
