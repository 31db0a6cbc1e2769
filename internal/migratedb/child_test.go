package migratedb

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
)

var upGoal = migrate.Goal{Do: migrate.DoUp}

// childVar makes the test binary a runner instead, for tests that kill it: "driver dialect goal n when", with the connection string and the
// folder in variables of their own. At the n-th thing that it says to the database it kills itself, before or after; 0 is never.
const (
	childVar  = "BUFFKIT_MIGRATE_CHILD"
	dsnVar    = "BUFFKIT_MIGRATE_DSN"
	folderVar = "BUFFKIT_MIGRATE_FOLDER"
	queryVar  = "BUFFKIT_MIGRATE_QUERY" // instead of n
)

func child() int {
	args := strings.Fields(os.Getenv(childVar))
	at := func(n int64, query string) bool { return query == os.Getenv(queryVar) }
	if os.Getenv(queryVar) == "" {
		number, err := strconv.ParseInt(args[3], 10, 64)
		if err != nil {
			panic(err)
		}
		at = func(n int64, _ string) bool { return n == number }
	}
	w := &wire{}
	switch args[4] {
	case "before":
		w.before = func(n int64, query string) {
			if at(n, query) {
				killSelf()
			}
		}
	case "after":
		w.after = func(n int64, query string, _ error) {
			if at(n, query) {
				killSelf()
			}
		}
	}
	if err := runChild(w, args[0], args[1], args[2]); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("complete")
	return 0
}

func runChild(w *wire, driverName, dialectName, goal string) error {
	d, err := dialect.Parse(dialectName)
	if err != nil {
		return err
	}
	db, err := w.open(driverName, os.Getenv(dsnVar))
	if err != nil {
		return err
	}
	defer db.Close()
	m, err := migrate.New(db, d, &migrate.Options{Sources: []migrate.Source{{FS: os.DirFS(os.Getenv(folderVar))}}})
	if err != nil {
		return err
	}
	g := migrate.Goal{Do: migrate.Do(goal)}
	if goal == "down" {
		g.Steps = 1
	}
	_, err = m.Run(context.Background(), g)
	return err
}

// runner is a process that runs migrations.
func runner(t *testing.T, on target, driverName, dsn, folder, goal string, n int, when string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", fmt.Sprintf("%s=%s %s %s %d %s", childVar, driverName, on.dialect, goal, n, when), dsnVar+"="+dsn, folderVar+"="+folder)
	return cmd
}
