package migratedb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
)

// forever is a statement that doesn't end by itself.
func forever(on target) string {
	switch on.dialect {
	case dialect.Postgres:
		return "SELECT pg_sleep(3600)"
	case dialect.SQLite:
		return "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) INSERT INTO a SELECT max(x) FROM c"
	}
	return "INSERT INTO a SELECT 1 FROM (SELECT 1 AS x UNION ALL SELECT 2) AS two WHERE SLEEP(3600)" // alone a SLEEP that is stopped is no error
}

// running counts what the server runs for this database that looks like the text.
func running(on target, text string) string {
	if on.dialect == dialect.Postgres {
		return "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid() AND query LIKE '%" + text + "%'"
	}
	return "SELECT count(*) FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID() AND info LIKE '%" + text + "%'"
}

// patience is how long a test waits for what must come, on a machine that does much else.
const patience = 3 * time.Minute

// until waits for something in the server to be seen. It asks again and again, and gives up when the test would take too long.
func until(t *testing.T, what string, seen func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !seen() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func isRunning(t *testing.T, on target, db *sql.DB, text string) bool {
	t.Helper()
	return number(t, db, running(on, text)) > 0
}

func TestStoppingTheContextStopsTheServerAndTellsTheState(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		provesAtEnd(t, on, "stopped by its context, or Ctrl-C")
		driverName, dsn := on.fresh(t)
		db := openDB(t, driverName, dsn)
		m := migrator(t, on, db, of(files("1_a.up.sql", "CREATE TABLE a (n int);\n", "2_b.up.sql", "CREATE TABLE b (n int);\n"+forever(on)+";\nCREATE TABLE c (n int);\n")))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan error, 1)
		go func() {
			_, err := m.Up(ctx)
			ended <- err
		}()
		watcher := openDB(t, driverName, dsn)
		if on.dialect == dialect.SQLite {
			until(t, "the first migration", func() bool { return has(t, watcher, "a") })
		} else {
			until(t, "the statement that takes long", func() bool { return isRunning(t, on, watcher, "3600") })
		}
		cancel()
		err := <-ended
		var failed *migrate.StepError
		if !errors.Is(err, context.Canceled) || !errors.As(err, &failed) || failed.Applied != 1 {
			t.Fatalf("%v", err)
		}
		t.Logf("\n%v", err)
		if on.dialect != dialect.SQLite && isRunning(t, on, watcher, "3600") {
			t.Error("the server still runs it")
		}
		want, b := migrate.LeftNothing, false
		if isMySQL(on) {
			want, b = migrate.LeftPart, true
		}
		if failed.Left != want || has(t, watcher, "b") != b {
			t.Errorf("left: %s; the table b is there: %v", failed.Left, has(t, watcher, "b"))
		}
		next := migrator(t, on, watcher, of(files("1_a.up.sql", "CREATE TABLE a (n int);\n", "2_b.up.sql", "CREATE TABLE b (n int);\nSELECT 1;\nCREATE TABLE c (n int);\n")))
		if _, err := next.Up(t.Context()); err != nil || !has(t, watcher, "c") {
			t.Errorf("the next up: %v", err)
		}
	})
}

func TestALockThatIsntHadInTimeIsAskedForAgainAndTheBlockerNamed(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		if on.dialect == dialect.SQLite {
			t.Skip("SQLite has one lock, and waiting for it is TestAWriterInTheWayIsWaitedFor")
		}
		provesAtEnd(t, on, "lock timeout, blocked by another transaction")
		driverName, dsn := on.fresh(t)
		db := openDB(t, driverName, dsn)
		mustExec(t, db, "CREATE TABLE a (n int)", "INSERT INTO a VALUES (1)")
		blocker, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer blocker.Rollback()
		if _, err := blocker.Exec("UPDATE a SET n = 2"); err != nil {
			t.Fatal(err)
		}
		opts := of(files("1_a.up.sql", "CREATE TABLE before_it (n int);\nALTER TABLE a ADD COLUMN b int;\nCREATE TABLE behind (n int);\n"))
		opts.LockTimeout = 2 * time.Second // within which the blocker is to be seen
		opts.Retries = 1
		started := time.Now()
		_, err = migrator(t, on, db, opts).Up(t.Context())
		var failed *migrate.StepError
		if !errors.As(err, &failed) || failed.Statement != 2 || !strings.Contains(failed.Note, "connection ") || time.Since(started) < 2*opts.LockTimeout {
			t.Fatalf("%v", err)
		}
		t.Logf("\n%v", err)

		var retried []migrate.Retry
		opts.Retries = 5
		opts.Hooks.Retrying = func(r migrate.Retry) {
			retried = append(retried, r)
			if err := blocker.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
				t.Error(err)
			}
		}
		res, err := migrator(t, on, db, opts).Up(t.Context())
		if err != nil || len(retried) != 1 || len(retried[0].Blockers) == 0 || res.Steps[0].Attempts != 2 {
			t.Errorf("%+v, %v, retried %+v", res, err, retried)
		}
		if !has(t, db, "behind") {
			t.Error("the statement behind it wasn't executed")
		}
	})
}

func TestAWriterInTheWayIsWaitedFor(t *testing.T) {
	t.Parallel()
	provesAtEnd(t, onSQLite, "lock timeout, blocked by another transaction")
	driverName, dsn := onSQLite.fresh(t)
	db := openDB(t, driverName, dsn)
	mustExec(t, db, "CREATE TABLE a (n int)")
	writer, err := openDB(t, driverName, dsn).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if _, err := writer.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	short := of(twoTables)
	short.LockWait = time.Millisecond
	if _, err := migrator(t, onSQLite, db, short).Up(t.Context()); err == nil || has(t, db, "users") {
		t.Errorf("who doesn't want to wait: %v", err)
	} else {
		t.Log(err)
	}
	ended := make(chan error, 1)
	m := migrator(t, onSQLite, db, of(twoTables))
	go func() {
		_, err := m.Up(context.Background())
		ended <- err
	}()
	time.AfterFunc(3*time.Second, func() { // longer than SQLite itself waits
		if _, err := writer.ExecContext(context.Background(), "COMMIT"); err != nil {
			t.Error(err)
		}
	})
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// backends ends all connections to a database but the asker's.
func backends(t *testing.T, on target, admin *sql.DB) {
	t.Helper()
	if on.dialect == dialect.Postgres {
		if _, err := admin.Exec("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"); err != nil {
			t.Error(err)
		}
		return
	}
	rows, err := admin.Query("SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var ids []int
	for rows.Next() {
		var id int
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	for _, id := range ids {
		_, _ = admin.Exec(fmt.Sprintf("KILL CONNECTION %d", id)) // it may have ended by itself
	}
}

// The server ends all of the runner's connections, at each thing that the runner says.
func TestAfterABackendIsKilledAtAnyBoundaryTheStateIsToldAndTheNextUpFinishes(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		if on.dialect == dialect.SQLite {
			return // it has no server
		}
		eachSample(t, on, func(t *testing.T, s sample) {
			driverName, dsn := on.fresh(t)
			admin := openDB(t, driverName, dsn)
			admin.SetMaxOpenConns(1)
			severedAtEach(t, on, driverName, dsn, dsn, s, "the server ends the runner's connections", boundariesAndBehind, func() { backends(t, on, admin) }, nil)
		})
	})
}

// severedAtEach has something done to the connections of a run before each thing that it says, or those that choose picks, undoes it, and lets the next
// run finish.
func severedAtEach(t *testing.T, on target, driverName, dsn, direct string, s sample, fault string, choose func(t *testing.T, said []string) []int, sever, mend func()) {
	t.Helper()
	folder := inFolder(t, s.pairs...)
	said := says(t, on, driverName, direct, folder, upGoal)
	finishes(t, on, driverName, direct, folder, 0)
	at, severed, told := placesOf(said, choose(t, said)), 0, map[migrate.Left]int{}
	for _, p := range at {
		if severedAt(t, p, on, driverName, dsn, direct, folder, told, sever) {
			severed++
		} else {
			p.missed(t)
		}
		if mend != nil {
			mend()
		}
		finishes(t, on, driverName, direct, folder, p.n)
	}
	t.Logf("told: %v", told)
	mostly(t, severed, len(at), len(said))
	proves(t, on, fault+", "+s.name, severed)
}

// rowsBehind is how many rows the table t has behind so many statements of twelve.
func rowsBehind(done int) int {
	return max(0, min(done, 5)-1) + max(0, min(done, 11)-7)
}

// severedAt tells whether the run came to the place.
func severedAt(t *testing.T, p place, on target, driverName, dsn, direct, folder string, told map[migrate.Left]int, sever func()) bool {
	t.Helper()
	reached := p.reached()
	severed := false
	w := &wire{before: func(_ int64, query string) {
		if reached(query) {
			severed = true
			sever()
		}
	}}
	db, err := w.open(driverName, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = migrator(t, on, db, of(dirFS(folder))).Up(t.Context())
	var failed *migrate.StepError
	if errors.As(err, &failed) {
		told[failed.Left]++
		toldTheTruth(t, openDB(t, driverName, direct), p.n, failed)
	}
	return severed
}

// toldTheTruth compares what a failed run says of a sample with what is in the database.
func toldTheTruth(t *testing.T, db *sql.DB, n int, failed *migrate.StepError) {
	t.Helper()
	defer db.Close()
	rows, table, second := 0, has(t, db, "t"), has(t, db, "u")
	if table {
		rows = number(t, db, "SELECT count(*) FROM t")
	}
	right := true
	switch {
	case failed.Left == migrate.LeftNothing && failed.Ref.Version == "2":
		right = rows == 0 && table && second
	case failed.Left == migrate.LeftNothing:
		right = !table && !second
	case failed.Left == migrate.LeftAll:
		right = rows == 8 && second
	case failed.Left == migrate.LeftPart && failed.Of == 2:
		right = table == (failed.Done >= 1) && second == (failed.Done >= 2)
	case failed.Left == migrate.LeftPart:
		right = rows == rowsBehind(failed.Done) && second == (failed.Done >= 7)
	}
	if !right {
		t.Fatalf("at %d, it says that it left %s, %d statements done; t is there: %v, with %d rows, u: %v: %v", n, failed.Left, failed.Done, table, rows, second, failed)
	}
}

// Where a connection of SQLite breaks the runner has no other, so it must not claim to know.
func TestAnAdoptionWhoseCommitIsLostIsFoundOut(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		driverName, dsn := on.fresh(t)
		var due, lost atomic.Bool
		w := &wire{lose: func(_ int64, query string) bool {
			return query == "COMMIT" && due.Load() && lost.CompareAndSwap(false, true)
		}}
		db, err := w.open(driverName, dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		opts := of(files("1_a.up.sql", "CREATE TABLE a (n int);", "2_b.up.sql", "CREATE TABLE b (n int);"))
		m := migrator(t, on, db, opts)
		what := migrate.Adoption{Origin: "goose", Applied: []migrate.Adopted{{Version: "1"}}}
		what.Again = func(context.Context, migrate.DB) ([]migrate.Adopted, error) {
			due.Store(true)
			return what.Applied, nil
		}
		if _, err := m.Adopt(t.Context(), what); on.dialect == dialect.SQLite && !errors.Is(err, migrate.ErrUnclear) || on.dialect != dialect.SQLite && err != nil {
			t.Errorf("%v", err)
		}
		if !lost.Load() {
			t.Fatal("no COMMIT was lost")
		}
		if infos, err := migrator(t, on, openDB(t, driverName, dsn), opts).Status(t.Context()); err != nil || len(infos) != 2 || infos[0].State != migrate.Applied || infos[0].Origin != "goose" || infos[1].State != migrate.Pending {
			t.Errorf("%+v, %v", infos, err)
		}
	})
}

// An answer to COMMIT that gets lost leaves the client in the dark: the runner finds out, and tells what is.
func TestACommitWhoseAnswerIsLostIsFoundOut(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		if on.dialect == dialect.SQLite {
			return // no wire to lose it on
		}
		provesAtEnd(t, on, "the answer to COMMIT is lost")
		driverName, dsn := on.fresh(t)
		commits := 0
		w := &wire{lose: func(_ int64, query string) bool {
			if query == "COMMIT" {
				commits++
			}
			return query == "COMMIT" && commits == 2 // the first is the ledger's creation
		}}
		db, err := w.open(driverName, dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		mig := "INSERT INTO a VALUES (1);\n"
		mustExec(t, db, "CREATE TABLE a (n int)")
		res, err := migrator(t, on, db, of(files("1_a.up.sql", mig, "2_b.up.sql", mig))).Up(t.Context())
		if err != nil || len(res.Steps) != 2 {
			t.Fatalf("%+v, %v", res, err)
		}
		if n := number(t, db, "SELECT count(*) FROM a"); n != 2 || commits < 3 {
			t.Errorf("%d rows, %d commits", n, commits)
		}
	})
}
