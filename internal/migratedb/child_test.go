package migratedb

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
)

var upGoal = migrate.Goal{Do: migrate.DoUp}

// childVar makes the test binary a runner instead, for tests that kill it: "driver dialect goal k when", with the connection string, the
// folder and a query in variables of their own. When it says the query for the k-th time it kills itself, before or after; 0 is never.
const (
	childVar  = "BUFFKIT_MIGRATE_CHILD"
	dsnVar    = "BUFFKIT_MIGRATE_DSN"
	folderVar = "BUFFKIT_MIGRATE_FOLDER"
	queryVar  = "BUFFKIT_MIGRATE_QUERY"
)

func child() int {
	args := strings.Fields(os.Getenv(childVar))
	k, err := strconv.Atoi(args[3])
	if err != nil {
		panic(err)
	}
	reached := place{query: os.Getenv(queryVar), k: k}.reached()
	w := &wire{}
	switch args[4] {
	case "before":
		w.before = func(_ int64, query string) {
			if reached(query) {
				killSelf()
			}
		}
	case "after":
		w.after = func(_ int64, query string, _ error) {
			if reached(query) {
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
	m, err := migrate.New(db, d, &migrate.Options{
		Sources:     []migrate.Source{{FS: os.DirFS(os.Getenv(folderVar))}},
		LockTimeout: time.Minute, // what it waits for in the server must still be there when it has been killed
	})
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
func runner(t *testing.T, on target, driverName, dsn, folder, goal string, k int, when string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", fmt.Sprintf("%s=%s %s %s %d %s", childVar, driverName, on.dialect, goal, k, when), dsnVar+"="+dsn, folderVar+"="+folder)
	return cmd
}

// runnerTo is one that kills itself behind a place.
func runnerTo(t *testing.T, p place, on target, driverName, dsn, folder, goal string) *exec.Cmd {
	t.Helper()
	cmd := runner(t, on, driverName, dsn, folder, goal, p.k, "after")
	cmd.Env = append(cmd.Env, queryVar+"="+p.query)
	return cmd
}
