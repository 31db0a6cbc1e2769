package sqlsessions

import (
	"bufio"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/internal/servers"
	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/sessionstore"
	"github.com/buffkit/buffkit/sessionstore/sqlstore"
)

func newID() (id sessionstore.ID) {
	_, _ = rand.Read(id[:])
	return id
}

func mustDo(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// connect lets a user connect to a session once.
func connect(ctx context.Context, store *sqlstore.Store, node string, id sessionstore.ID) error {
	outcomes, err := store.Connect(ctx, node, []sessionstore.Claim{{Session: id, User: "ada", Fresh: true, Grace: time.Hour}})
	if err == nil {
		err = outcomes[0].Err
	}
	return err
}

func counted(t testing.TB, store *sqlstore.Store, id sessionstore.ID) int {
	t.Helper()
	info, err := store.Get(t.Context(), id)
	if errors.Is(err, sessionstore.ErrNoSession) {
		return 0
	}
	mustDo(t, err)
	return info.Connections
}

// consistent compares the three places where connections are counted.
func consistent(t testing.TB, db *sql.DB) {
	t.Helper()
	var sessions, held, users int
	query := func(from string, into *int) {
		t.Helper()
		mustDo(t, db.QueryRowContext(t.Context(), "SELECT coalesce(sum(connections), 0) FROM "+from).Scan(into))
	}
	query("buffkit_sessions", &sessions)
	query("buffkit_sessions_held", &held)
	query("buffkit_sessions_users", &users)
	if sessions != held || held != users {
		t.Errorf("sessions count %d connections, nodes %d, users %d", sessions, held, users)
	}
}

func TestAServerThatRestartsHasLostNothingConfirmed(t *testing.T) {
	overNetwork(t, func(t *testing.T, on target) {
		server, err := on.start(servers.In(os.TempDir())) // a private one
		mustDo(t, err)
		t.Cleanup(func() { mustDo(t, server.stop()) })
		dsn := server.fresh(t)
		store := openStore(t, on, server.driver, dsn)
		mustDo(t, store.Restore(t.Context(), "a", time.Hour, nil))
		id, confirmed, unknown := newID(), 0, 0
		try := func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			err := connect(ctx, store, "a", id)
			if err == nil {
				confirmed++
			} else {
				unknown++
			}
			return err == nil
		}
		for range 3 {
			for range 10 {
				try()
			}
			done := make(chan error)
			go func() { done <- errors.Join(server.Kill(), server.Start()) }()
			for restarting := true; restarting; {
				try()
				select {
				case err := <-done:
					mustDo(t, err)
					restarting = false
				case <-time.After(10 * time.Millisecond):
				}
			}
			eventually(t, "the store works again", try)
		}
		n := counted(t, store, id)
		t.Logf("%d connections were confirmed, %d calls failed, %d are counted", confirmed, unknown, n)
		if n < confirmed || n > confirmed+unknown {
			t.Errorf("%d connections are counted, %d were confirmed and %d unknown", n, confirmed, unknown)
		}
		mustDo(t, store.Restore(t.Context(), "a", time.Hour, []sessionstore.Held{{Session: id, User: "ada", Connections: confirmed}}))
		if n := counted(t, store, id); n != confirmed {
			t.Errorf("%d connections are counted after Restore, want %d", n, confirmed)
		}
		consistent(t, openDB(t, server.driver, dsn))
	})
}

// The answers to a transaction are lost one after the other, that to its COMMIT among them.
func TestAnUnknownOutcomeIsHealedByRestore(t *testing.T) {
	overNetwork(t, func(t *testing.T, on target) {
		driver, dsn := on.fresh(t)
		direct := openStore(t, on, driver, dsn)
		wire, through := overCable(t, driver, dsn)
		store := openStore(t, on, driver, through)
		mustDo(t, store.Restore(t.Context(), "a", time.Hour, nil))
		id, has, twice, failed := newID(), 0, 0, 0
		for answers := range int64(30) {
			wire.CutAfter(answers)
			err := connect(t.Context(), store, "a", id)
			wire.Heal()
			if err == nil {
				has++ // there were fewer answers
			} else {
				failed++
				eventually(t, "the store works again", func() bool { return connect(t.Context(), store, "a", id) == nil })
				has++
			}
			n := counted(t, direct, id)
			if n != has && n != has+1 {
				t.Fatalf("after the loss of answer %d, %v: %d connections are counted, the node has %d", answers, err, n, has)
			}
			twice += n - has
			mustDo(t, store.Restore(t.Context(), "a", time.Hour, []sessionstore.Held{{Session: id, User: "ada", Connections: has}}))
			if n := counted(t, direct, id); n != has {
				t.Fatalf("%d connections are counted after Restore, want %d", n, has)
			}
		}
		t.Logf("%d of 30 calls failed, of these %d had counted", failed, twice)
		if failed < 5 {
			t.Errorf("only %d calls failed: the cable wasn't cut", failed)
		}
		consistent(t, openDB(t, driver, dsn))
	})
}

const (
	childDSN     = "BUFFKIT_TEST_SESSIONS_DSN" // set for a process that is a node
	childDialect = "BUFFKIT_TEST_SESSIONS_DIALECT"
)

// TestNode is the node that another test kills.
func TestNode(t *testing.T) {
	if os.Getenv(childDSN) == "" {
		t.Skip("it is run by TestAKilledNodeLeavesNothingBehind")
	}
	d, err := dialect.Parse(os.Getenv(childDialect))
	mustDo(t, err)
	driver := map[dialect.Dialect]string{dialect.Postgres: "pgx", dialect.SQLite: "sqlite", dialect.MySQL: "mysql", dialect.MariaDB: "mysql"}[d]
	store := openStore(t, target{dialect: d}, driver, os.Getenv(childDSN))
	const alive = 5 * time.Second // in which a slow machine goes round once
	mustDo(t, store.Restore(t.Context(), "child", alive, nil))
	for {
		var claims []sessionstore.Claim
		var leaves []sessionstore.Leave
		for range 100 {
			c := sessionstore.Claim{Session: newID(), User: "ada", Fresh: true}
			claims, leaves = append(claims, c), append(leaves, sessionstore.Leave{Session: c.Session, User: "ada"})
		}
		_, err := store.Connect(t.Context(), "child", claims)
		mustDo(t, err)
		mustDo(t, store.Leave(t.Context(), "child", leaves[:50]))
		mustDo(t, store.Beat(t.Context(), "child", alive))
		fmt.Println("a round")
	}
}

func TestAKilledNodeLeavesNothingBehind(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		driver, dsn := on.fresh(t)
		store := openStore(t, on, driver, dsn)
		mustDo(t, store.Restore(t.Context(), "parent", time.Hour, nil))
		id := newID()
		mustDo(t, connect(t.Context(), store, "parent", id))
		for rounds := 1; rounds <= 3; rounds++ {
			killAfter(t, rounds, on, dsn)
		}
		db := openDB(t, driver, dsn)
		consistent(t, db)
		left := func() (n int) {
			mustDo(t, db.QueryRowContext(t.Context(), "SELECT coalesce(sum(connections), 0) FROM buffkit_sessions_held").Scan(&n))
			return n
		}
		if left() < 51 {
			t.Fatalf("%d connections are counted: the node has done nothing", left())
		}
		eventually(t, "the connections of a killed node count no more", func() bool {
			_, _, err := store.Sweep(t.Context(), time.Hour, time.Hour, 0)
			mustDo(t, err)
			return left() == 1
		})
		if n := counted(t, store, id); n != 1 {
			t.Errorf("the parent's session has %d connections, want 1", n)
		}
		consistent(t, db)
	})
}

// killAfter runs a node in a process of its own, and kills it some rounds on, in the middle of something.
func killAfter(t *testing.T, rounds int, on target, dsn string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNode$", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), childDSN+"="+dsn, childDialect+"="+on.dialect.String())
	out, err := cmd.StdoutPipe()
	mustDo(t, err)
	mustDo(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for n := 0; n < rounds; {
		if !lines.Scan() {
			t.Fatalf("the node ended: %v", cmd.Wait())
		}
		if strings.HasPrefix(lines.Text(), "a round") {
			n++
		} else {
			t.Log(lines.Text())
		}
	}
	mustDo(t, cmd.Process.Kill())
	_ = cmd.Wait()
}

// A session costs an attacker nothing to replay: the memory of it must be bounded.
func TestTheOldestOfTooManyReplaysAreForgotten(t *testing.T) {
	t.Parallel()
	const extra = 1500 // more than a page
	fill := map[dialect.Dialect]string{
		dialect.SQLite: `WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %d)
			INSERT INTO buffkit_sessions SELECT unhex(printf('%%032x', n)), x'', 0, 0, 0, 1, 9000000000000000, x'', 0, 2, NULL, n FROM s`,
		dialect.Postgres: `INSERT INTO buffkit_sessions
			SELECT decode(lpad(to_hex(n), 32, '0'), 'hex'), '', 0, 0, 0, 1, 9000000000000000, '', 0, 2, NULL, n FROM generate_series(1, %d) n`,
	}
	for _, on := range []target{onSQLite, onPostgres} {
		t.Run(on.name, func(t *testing.T) {
			t.Parallel()
			driver, dsn := on.fresh(t)
			store, db := openStore(t, on, driver, dsn), openDB(t, driver, dsn)
			_, err := db.ExecContext(t.Context(), fmt.Sprintf(fill[on.dialect], sessionstore.MaxReplays+extra))
			mustDo(t, err)
			eventually(t, "there are no more than may be", func() bool {
				_, _, err := store.Sweep(t.Context(), time.Hour, time.Hour, 0)
				mustDo(t, err)
				var n, oldest int
				mustDo(t, db.QueryRowContext(t.Context(), "SELECT count(*), min(revocation) FROM buffkit_sessions").Scan(&n, &oldest))
				if n < sessionstore.MaxReplays || oldest > extra+1 {
					t.Fatalf("%d are left, from the %dth on", n, oldest)
				}
				return n == sessionstore.MaxReplays && oldest == extra+1
			})
		})
	}
}
