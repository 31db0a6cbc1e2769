package migratedb

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
)

// twelve is a migration that tells when one of its statements was executed twice or not at all.
func twelve(header string) string {
	var b strings.Builder
	b.WriteString(header)
	b.WriteString("CREATE TABLE t (n int NOT NULL);\n")
	for n := 2; n <= 5; n++ {
		fmt.Fprintf(&b, "INSERT INTO t VALUES (%d);\n", n)
	}
	b.WriteString("ALTER TABLE t ADD COLUMN extra int;\nCREATE TABLE u (n int);\n")
	for n := 8; n <= 11; n++ {
		fmt.Fprintf(&b, "INSERT INTO t (n) VALUES (%d);\n", n)
	}
	b.WriteString("CREATE INDEX t_n ON t (n);\n")
	return b.String()
}

func concurrently(text string) string {
	return strings.Replace(text, "CREATE INDEX t_n", "CREATE INDEX CONCURRENTLY t_n", 1)
}

// undoTwelve fails if one of the things isn't there.
func undoTwelve(on target) string {
	if isMySQL(on) {
		return "DROP INDEX t_n ON t;\nDROP TABLE u;\nDROP TABLE t;\n"
	}
	return "DROP INDEX t_n;\nDROP TABLE u;\nDROP TABLE t;\n"
}

// inFolder writes files where a child finds them.
func inFolder(t *testing.T, pairs ...string) string {
	t.Helper()
	folder := t.TempDir()
	for i := 0; i < len(pairs); i += 2 {
		if err := os.WriteFile(filepath.Join(folder, pairs[i]), []byte(pairs[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// killedAt runs a child that kills itself, and tells whether it came to that.
func killedAt(t *testing.T, cmd *exec.Cmd) bool {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil {
		t.Fatalf("the child failed: %v\n%s", err, out)
	}
	return false
}

// sample is a set of migrations that tells when something was executed twice, or not at all.
type sample struct {
	name  string
	pairs []string
}

// samples are a migration of twelve statements that can be rolled back, and one that can't, on each database. MySQL and MariaDB roll back data
// statements alone.
func samples(on target) []sample {
	alone := twelve("-- no-transaction\n")
	if on.dialect == dialect.Postgres {
		alone = concurrently(alone)
	}
	atomic := sample{"a transaction", []string{"1_twelve.up.sql", twelve(""), "1_twelve.down.sql", undoTwelve(on)}}
	if isMySQL(on) {
		atomic = sample{"a transaction", []string{"1_tables.up.sql", "CREATE TABLE t (n int NOT NULL);\nCREATE TABLE u (n int);\n", "2_data.up.sql", twelveRows(),
			"2_data.down.sql", "DELETE FROM t;\n"}}
	}
	return []sample{atomic, {"no transaction", []string{"1_twelve.up.sql", alone, "1_twelve.down.sql", undoTwelve(on)}}}
}

// twelveRows leads to the rows of twelve, by data statements alone.
func twelveRows() string {
	var b strings.Builder
	for _, n := range []int{2, 3, 4, 5, 8, 9, 10, 11, 12, 13} {
		fmt.Fprintf(&b, "INSERT INTO t VALUES (%d);\n", n)
	}
	b.WriteString("UPDATE t SET n = n + 1 WHERE n > 11;\nDELETE FROM t WHERE n > 12;\n")
	return b.String()
}

// eachSample runs a test of each sample.
func eachSample(t *testing.T, on target, test func(t *testing.T, s sample)) {
	t.Helper()
	for _, s := range samples(on) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

// A runner is killed behind everything that it says to the database, its own bookkeeping included: what it was doing is finished by the
// next one, and nothing is done twice.
func TestAfterKillMinus9AtAnyBoundaryTheNextUpFinishes(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		eachSample(t, on, func(t *testing.T, s sample) {
			folder := inFolder(t, s.pairs...)
			driverName, dsn := on.fresh(t)
			said := says(t, on, driverName, dsn, folder, upGoal)
			finishes(t, on, driverName, dsn, folder, 0)
			at, killed := placesOf(said, boundaries(t, said, -1)), 0
			for _, p := range at {
				if on.wipe == nil {
					driverName, dsn = on.fresh(t)
				}
				if killedAt(t, runnerTo(t, p, on, driverName, dsn, folder, "up")) {
					killed++
				} else {
					p.missed(t)
				}
				finishes(t, on, driverName, dsn, folder, p.n)
			}
			if len(said) < 20 {
				t.Errorf("only %d boundaries", len(said))
			}
			mostly(t, killed, len(at), len(said))
			proves(t, on, "kill -9 of the runner, "+s.name, killed)
		})
	})
}

// What a killed down has begun, the next up finishes, and applies it anew.
func TestAfterKillMinus9DuringDownTheNextUpFinishesIt(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		for _, header := range []string{"", "-- no-transaction\n"} {
			t.Run("header "+header, func(t *testing.T) {
				t.Parallel()
				folder := inFolder(t, "1_twelve.up.sql", twelve(""), "1_twelve.down.sql", header+undoTwelve(on))
				driverName, dsn := on.fresh(t)
				says(t, on, driverName, dsn, folder, upGoal)
				said := says(t, on, driverName, dsn, folder, migrate.Goal{Do: migrate.DoDown, Steps: 1})
				finishes(t, on, driverName, dsn, folder, 0)
				at, killed := placesOf(said, boundaries(t, said, -1)), 0
				for _, p := range at {
					if on.wipe == nil {
						driverName, dsn = on.fresh(t)
					}
					says(t, on, driverName, dsn, folder, upGoal)
					if killedAt(t, runnerTo(t, p, on, driverName, dsn, folder, "down")) {
						killed++
					} else {
						p.missed(t)
					}
					finishes(t, on, driverName, dsn, folder, p.n)
				}
				mostly(t, killed, len(at), len(said))
				proves(t, on, "kill -9 of the runner, during down", killed)
			})
		}
	})
}

func finishes(t *testing.T, on target, driverName, dsn, folder string, n int) {
	t.Helper()
	db := openDB(t, driverName, dsn)
	m := migrator(t, on, db, of(os.DirFS(folder)))
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatalf("killed at %d, the next up: %v", n, err)
	}
	if rows := number(t, db, "SELECT count(*) * 1000 + sum(n) FROM t"); rows != 8*1000+2+3+4+5+8+9+10+11 {
		t.Fatalf("killed at %d: the rows are %d", n, rows)
	}
	if !has(t, db, "u") {
		t.Fatalf("killed at %d: the table u isn't there", n)
	}
	migrations, err := filepath.Glob(filepath.Join(folder, "*.up.sql"))
	if err != nil {
		t.Fatal(err)
	}
	if rows := number(t, db, "SELECT count(*) FROM buffkit_migrations WHERE state = 'applied'"); rows != len(migrations) {
		t.Fatalf("killed at %d: the ledger has %d rows", n, rows)
	}
	if rows := number(t, db, "SELECT count(*) FROM buffkit_migrations_journal"); rows != 0 {
		t.Fatalf("killed at %d: the journal has %d rows", n, rows)
	}
	if _, err := m.Down(t.Context(), 1); err != nil { // the index is there
		t.Fatalf("killed at %d, then down: %v", n, err)
	}
	mustExec(t, db, on.wipe...)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
