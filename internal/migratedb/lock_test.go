package migratedb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
)

// slowIndex is what deadlocks with a lock that is waited for within the server.
func slowIndex(on target) []string {
	index := "CREATE INDEX t_n ON t (n);\n"
	if on.dialect == dialect.Postgres {
		index = "-- no-transaction\nCREATE INDEX CONCURRENTLY t_n ON t (n);\n"
	}
	var rows strings.Builder
	rows.WriteString("INSERT INTO t VALUES (0)")
	for n := range 2000 {
		rows.WriteString(", (" + strconv.Itoa(n) + ")")
	}
	return []string{"1_t.up.sql", "CREATE TABLE t (n int);\n", "2_rows.up.sql", rows.String(), "3_index.up.sql", index, "4_last.up.sql", "CREATE TABLE last (n int);\n"}
}

func TestEightProcessesAtOnceApplyOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		provesAtEnd(t, on, "8 processes at once, an index built concurrently among them")
		folder := inFolder(t, slowIndex(on)...)
		driverName, dsn := on.fresh(t)
		var all sync.WaitGroup
		for range 8 {
			cmd := runner(t, on, driverName, dsn, folder, "up", 0, "never")
			all.Go(func() {
				if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "complete") {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
		all.Wait()
		db := openDB(t, driverName, dsn)
		if n := number(t, db, "SELECT count(*) FROM t"); n != 2001 || !has(t, db, "last") {
			t.Errorf("%d rows", n)
		}
	})
}

// rounds is how often many runners meet; BUFFKIT_TEST_ROUNDS makes it more.
func rounds() int {
	if n, err := strconv.Atoi(os.Getenv("BUFFKIT_TEST_ROUNDS")); err == nil {
		return n
	}
	return 1
}

func TestSixtyFourRunnersAtOnceApplyOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		t.Cleanup(func() { proves(t, on, "64 runners at once, rounds", rounds()) })
		for round := range rounds() {
			driverName, dsn := on.fresh(t)
			fsys := files(slowIndex(on)...)
			var all sync.WaitGroup
			var applied sync.Map
			for range 64 {
				db := openDB(t, driverName, dsn)
				m := migrator(t, on, db, of(fsys))
				all.Go(func() {
					res, err := m.Up(t.Context())
					if err != nil {
						t.Errorf("round %d: %v", round, err)
						return
					}
					for _, s := range res.Steps {
						if _, twice := applied.LoadOrStore(s.Ref, true); twice {
							t.Errorf("round %d: %v was applied twice", round, s.Ref)
						}
					}
				})
			}
			all.Wait()
			if n := number(t, openDB(t, driverName, dsn), "SELECT count(*) FROM t"); n != 2001 {
				t.Errorf("round %d: %d rows", round, n)
			}
		}
	})
}

// held is a run that stands in the middle of a migration until it is let go.
type held struct {
	begun, release chan struct{}
	err            chan error
}

func holdLock(t *testing.T, on target, driverName, dsn string) *held {
	t.Helper()
	return holdLockBy(t, on, driverName, dsn, migrate.AutoLock)
}

func holdLockBy(t *testing.T, on target, driverName, dsn string, mode migrate.LockMode) *held {
	t.Helper()
	return holdLockOn(t, on, openDB(t, driverName, dsn), mode)
}

func holdLockOn(t *testing.T, on target, db *sql.DB, mode migrate.LockMode) *held {
	t.Helper()
	h := &held{make(chan struct{}), make(chan struct{}), make(chan error, 1)}
	m := migrator(t, on, db, migrate.Options{Lock: mode, Sources: []migrate.Source{{Go: []migrate.GoMigration{{Version: "1", Name: "hold",
		Up: func(ctx context.Context, db migrate.DB) error {
			if _, err := db.ExecContext(ctx, "CREATE TABLE held (n int)"); err != nil {
				return err
			}
			close(h.begun)
			<-h.release
			return nil
		}}}}}})
	go func() {
		_, err := m.Up(context.Background())
		h.err <- err
	}()
	select {
	case <-h.begun:
	case err := <-h.err:
		t.Fatal(err)
	}
	return h
}

func TestWhoMustWaitIsToldWhoHoldsTheLock(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		if on.dialect == dialect.SQLite {
			t.Skip("nobody gets in while a transaction writes, so who it is can't be read: TestALeaseSaysWhoHoldsIt")
		}
		driverName, dsn := on.fresh(t)
		h := holdLock(t, on, driverName, dsn)
		next := of(files("2_a.up.sql", "CREATE TABLE a (n int)"))
		next.AllowMissing = true
		next.LockWait = -1
		_, err := migrator(t, on, openDB(t, driverName, dsn), next).Up(t.Context())
		var locked *migrate.LockedError
		if !errors.As(err, &locked) || !errors.Is(err, migrate.ErrLocked) || locked.Holder.Session == "" || locked.Holder.Who == "" {
			t.Errorf("%v", err)
		}
		t.Logf("%v", err)

		told := make(chan migrate.Holder, 10)
		next.LockWait = 0
		next.Hooks.Waiting = func(h migrate.Holder) { told <- h }
		second := make(chan error, 1)
		m := migrator(t, on, openDB(t, driverName, dsn), next)
		go func() {
			_, err := m.Up(context.Background())
			second <- err
		}()
		t.Logf("told: %v", <-told)
		close(h.release)
		if err := errors.Join(<-h.err, <-second); err != nil {
			t.Error(err)
		}
	})
}

// A deploy may change from one to the other.
func TestALeaseAndALockOfTheSessionsKeepEachOtherOut(t *testing.T) {
	overNetwork(t, func(t *testing.T, on target) {
		for mode, other := range map[migrate.LockMode]migrate.LockMode{migrate.LeaseLock: migrate.SessionLock, migrate.SessionLock: migrate.LeaseLock} {
			driverName, dsn := on.fresh(t)
			h := holdLockBy(t, on, driverName, dsn, mode)
			next := of(files("2_a.up.sql", "CREATE TABLE a (n int)"))
			next.AllowMissing, next.LockWait, next.Lock = true, -1, other
			db := openDB(t, driverName, dsn)
			_, err := migrator(t, on, db, next).Up(t.Context())
			var locked *migrate.LockedError
			if !errors.As(err, &locked) || locked.Holder.Runner == "" && locked.Holder.Session == "" || has(t, db, "a") {
				t.Errorf("held by %v: %v", mode, err)
			}
			t.Log(err)
			close(h.release)
			next.LockWait = 0
			if _, err := migrator(t, on, db, next).Up(t.Context()); err != nil || !has(t, db, "a") {
				t.Errorf("behind it: %v", err)
			}
			if err := <-h.err; err != nil {
				t.Error(err)
			}
		}
	})
}

// A runner with a lease is suspended for longer than that lasts, and wakes up while one with a session's lock works.
func TestALeaseThatIsOverStaysOverWhileAnotherWorks(t *testing.T) {
	overNetwork(t, func(t *testing.T, on target) {
		provesAtEnd(t, on, "the lease is over, and another works without one")
		driverName, dsn := on.fresh(t)
		works, wakes, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		other := of(twoTables)
		other.Lock = migrate.SessionLock
		other.Hooks.Began = func(*migrate.Step) {
			close(works)
			<-wakes
		}
		m := migrator(t, on, openDB(t, driverName, dsn), other)
		leased := of(twoTables)
		leased.Lock = migrate.LeaseLock
		leased.Hooks.Ended = func(s *migrate.Step, _ migrate.StepResult, _ error) {
			if s.Ref.Version != "1" {
				return
			}
			mustExec(t, openDB(t, driverName, dsn), "UPDATE buffkit_migrations_lock SET until_us = 1")
			go func() {
				_, err := m.Up(context.Background())
				ended <- err
			}()
			<-works
		}
		_, err := migrator(t, on, openDB(t, driverName, dsn), leased).Up(t.Context())
		close(wakes)
		if !errors.Is(err, migrate.ErrLockLost) {
			t.Errorf("the one that woke up: %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("the other: %v", err)
		}
		if !has(t, openDB(t, driverName, dsn), "teams") {
			t.Error("the second migration wasn't applied")
		}
	})
}

// The network stalls when the lease is renewed, or given back, for so long that the driver closes the connection. There is room for two in the pool.
func TestALeaseIsKeptAndGivenBackWhenTheConnectionOfTheLockStalls(t *testing.T) {
	t.Parallel()
	for _, said := range []string{"SET until_us", "DELETE FROM"} {
		t.Run(said, func(t *testing.T) {
			t.Parallel()
			c, driverName, dsn, direct := overCable(t, onPostgres)
			var due, stalled atomic.Bool
			again := make(chan struct{}, 1)
			w := &wire{before: func(_ int64, query string) {
				if strings.Contains(query, said) && due.CompareAndSwap(true, false) {
					stalled.Store(true)
					c.Dead.Store(true)
				}
			}, after: func(_ int64, query string, err error) {
				if !strings.Contains(query, said) || !stalled.Load() {
					return
				}
				c.Dead.Store(false) // for others than this connection
				if err == nil && len(again) == 0 {
					again <- struct{}{}
				}
			}}
			db, err := w.open(driverName, dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			db.SetMaxOpenConns(2)
			over := time.After(30 * time.Second) // the lease
			h := holdLockOn(t, onPostgres, db, migrate.LeaseLock)
			due.Store(true)
			if said == "SET until_us" {
				select {
				case <-again:
				case <-over:
					t.Error("the lease wasn't renewed in time")
				}
			}
			close(h.release)
			if err := <-h.err; err != nil || !stalled.Load() {
				t.Errorf("%v, stalled: %v", err, stalled.Load())
			}
			if n := number(t, openDB(t, driverName, direct), "SELECT count(*) FROM buffkit_migrations_lock"); n != 0 {
				t.Error("the lease is left, and the next runner would wait for it")
			}
		})
	}
}

// Between two steps a runner may change its connection, and has no lock for the work then.
func TestNoLeaseComesBetweenTheStepsOfARunner(t *testing.T) {
	overNetwork(t, func(t *testing.T, on target) {
		driverName, dsn := on.fresh(t)
		set := "SET SESSION sql_mode = '';\n"
		if on.dialect == dialect.Postgres {
			set = "SET search_path = public;\n"
		}
		fsys := files("1_a.up.sql", "-- no-transaction\n"+set+"CREATE TABLE a (n int);\n", "2_b.up.sql", "CREATE TABLE b (n int);\n")
		next := of(fsys)
		next.Lock, next.LockWait = migrate.LeaseLock, -1
		intruder := migrator(t, on, openDB(t, driverName, dsn), next)
		var behind atomic.Bool
		var tried atomic.Int64
		w := &wire{before: func(_ int64, query string) {
			if !behind.Load() {
				return
			}
			tried.Add(1)
			if res, err := intruder.Up(t.Context()); err == nil && len(res.Steps) > 0 {
				t.Errorf("before %q another runner got in", query)
			} else if err != nil && !errors.Is(err, migrate.ErrLocked) {
				t.Errorf("before %q: %v", query, err)
			}
		}}
		db, err := w.open(driverName, dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		opts := of(fsys)
		opts.Lock = migrate.SessionLock
		opts.Hooks.Ended = func(s *migrate.Step, _ migrate.StepResult, _ error) { behind.Store(s.Ref.Version == "1") }
		if _, err := migrator(t, on, db, opts).Up(t.Context()); err != nil || tried.Load() < 5 {
			t.Errorf("%v, tried %d times", err, tried.Load())
		}
	})
}

func TestAStopWhileTheLeaseIsTakenLeavesNone(t *testing.T) {
	overNetwork(t, func(t *testing.T, on target) {
		driverName, dsn := on.fresh(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stopped := false
		w := &wire{before: func(_ int64, query string) {
			if strings.Contains(query, "pg_locks") || strings.Contains(query, "IS_USED_LOCK") {
				stopped = true
				cancel()
			}
		}}
		db, err := w.open(driverName, dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		opts := of(twoTables)
		opts.Lock = migrate.LeaseLock
		if _, err := migrator(t, on, db, opts).Up(ctx); !stopped || !errors.Is(err, context.Canceled) {
			t.Errorf("stopped: %v; %v", stopped, err)
		}
		if n := number(t, openDB(t, driverName, dsn), "SELECT count(*) FROM buffkit_migrations_lock"); n != 0 {
			t.Error("the lease is left, and the next runner would wait for it")
		}
	})
}

func TestRunnersWithALeaseAndWithoutApplyOnce(t *testing.T) {
	overNetwork(t, func(t *testing.T, on target) {
		provesAtEnd(t, on, "8 runners with a lease and 8 without at once")
		driverName, dsn := on.fresh(t)
		var all sync.WaitGroup
		var applied sync.Map
		for n := range 16 {
			opts := of(files(slowIndex(on)...))
			opts.Lock = []migrate.LockMode{migrate.SessionLock, migrate.LeaseLock}[n%2]
			m := migrator(t, on, openDB(t, driverName, dsn), opts)
			all.Go(func() {
				res, err := m.Up(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				for _, s := range res.Steps {
					if _, twice := applied.LoadOrStore(s.Ref, true); twice {
						t.Errorf("%v was applied twice", s.Ref)
					}
				}
			})
		}
		all.Wait()
		if n := number(t, openDB(t, driverName, dsn), "SELECT count(*) FROM t"); n != 2001 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestALeaseSaysWhoHoldsIt(t *testing.T) {
	t.Parallel()
	db := onSQLite.open(t)
	m := migrator(t, onSQLite, db, of(twoTables))
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	const far = "9000000000000000"
	mustExec(t, db, "INSERT INTO buffkit_migrations_lock VALUES (1, 'x', 'elsewhere:17', 0, "+far+")")
	opts := of(twoTables)
	opts.LockWait = -1
	_, err := migrator(t, onSQLite, db, opts).Down(t.Context(), 1)
	var locked *migrate.LockedError
	if !errors.As(err, &locked) || locked.Holder.Runner != "elsewhere:17" {
		t.Errorf("%v", err)
	}
	t.Run("of a dead process of this machine is free", func(t *testing.T) {
		host, err := os.Hostname()
		if err != nil {
			t.Fatal(err)
		}
		cmd := runner(t, onSQLite, "sqlite", "file:"+t.TempDir()+"/x.db", t.TempDir(), "up", 0, "never")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		mustExec(t, db, fmt.Sprintf("UPDATE buffkit_migrations_lock SET runner = '%s:%d'", host, cmd.Process.Pid))
		if _, err := migrator(t, onSQLite, db, opts).Down(t.Context(), 1); err != nil {
			t.Error(err)
		}
	})
	t.Run("that is over is free", func(t *testing.T) {
		mustExec(t, db, fmt.Sprintf("INSERT INTO buffkit_migrations_lock VALUES (1, 'x', 'elsewhere:17', 0, %d)", time.Now().Add(-time.Second).UnixMicro()))
		if _, err := migrator(t, onSQLite, db, opts).Down(t.Context(), 1); err != nil {
			t.Error(err)
		}
	})
}

// In a long transaction of SQLite's nobody can take the lease, and behind it nobody may: it ends with a new one.
func TestALeaseOutlivesALongTransaction(t *testing.T) {
	t.Parallel()
	db := onSQLite.open(t)
	opts := of(files("2_b.up.sql", "CREATE TABLE b (n int);"))
	opts.Sources[0].Go = []migrate.GoMigration{{Version: "1", Up: func(ctx context.Context, db migrate.DB) error {
		_, err := db.ExecContext(ctx, "UPDATE buffkit_migrations_lock SET until_us = 1")
		return err
	}}}
	opts.Hooks.Ended = func(s *migrate.Step, _ migrate.StepResult, _ error) {
		if n := number(t, db, "SELECT count(*) FROM buffkit_migrations_lock WHERE until_us > 1"); n != 1 {
			t.Errorf("behind %v the lease is over", s.Ref)
		}
	}
	if _, err := migrator(t, onSQLite, db, opts).Up(t.Context()); err != nil {
		t.Error(err)
	}
}

// A runner that was suspended for longer than its lease must not commit what another one does now.
func TestARunnerThatLostItsLeaseCommitsNothingMore(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		provesAtEnd(t, on, "the lease is lost in the middle")
		driverName, dsn := on.fresh(t)
		db := openDB(t, driverName, dsn)
		opts := of(twoTables)
		opts.Lock = migrate.LeaseLock
		opts.Hooks.Ended = func(s *migrate.Step, _ migrate.StepResult, _ error) {
			if s.Ref.Version == "1" {
				mustExec(t, openDB(t, driverName, dsn), "UPDATE buffkit_migrations_lock SET token = 'another'")
			}
		}
		_, err := migrator(t, on, db, opts).Up(t.Context())
		var failed *migrate.StepError
		if !errors.Is(err, migrate.ErrLockLost) || !errors.As(err, &failed) || failed.Ref.Version != "2" || failed.Applied != 1 {
			t.Fatalf("%v", err)
		}
		if !isMySQL(on) && has(t, db, "teams") { // there the DDL commits by itself, and the journal has it
			t.Error("it committed")
		}
		mustExec(t, db, "DELETE FROM buffkit_migrations_lock")
		opts.Hooks.Ended = nil
		if _, err := migrator(t, on, db, opts).Up(t.Context()); err != nil || !has(t, db, "teams") {
			t.Errorf("the next up: %v", err)
		}
	})
}
