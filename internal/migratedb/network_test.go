package migratedb

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/buffkit/buffkit/internal/cable"
	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"

	"github.com/go-sql-driver/mysql"
)

// overCable is a fresh database behind a cable.
func overCable(t *testing.T, on target) (c *cable.Cable, driverName, dsn, direct string) {
	t.Helper()
	driverName, direct = on.fresh(t)
	if isMySQL(on) {
		config, err := mysql.ParseDSN(direct)
		if err != nil {
			t.Fatal(err)
		}
		c = cable.New(t, config.Addr)
		config.Addr = c.Addr()
		return c, driverName, config.FormatDSN(), direct
	}
	c, dsn = cable.OfURL(t, direct)
	return c, driverName, dsn, direct
}

// overNetwork runs a test on each database that has a server.
func overNetwork(t *testing.T, test func(t *testing.T, on target)) {
	t.Helper()
	everywhere(t, func(t *testing.T, on target) {
		if on.dialect != dialect.SQLite {
			test(t, on)
		}
	})
}

func someBoundaries(t *testing.T, said []string) []int { return every(t, len(said), networkEvery) }

func TestWhenTheNetworkIsCutAtAnyBoundaryTheStateIsToldAndTheNextUpFinishes(t *testing.T) {
	overNetwork(t, func(t *testing.T, on target) {
		eachSample(t, on, func(t *testing.T, s sample) {
			c, driverName, dsn, direct := overCable(t, on)
			severedAtEach(t, on, driverName, dsn, direct, s, "the network is cut", someBoundaries, c.Cut, nil)
		})
	})
}

// Whoever can't reach the server any more can't find out what became of a COMMIT, and must not claim to know.
func TestWhenTheServerIsOutOfReachFromAnyBoundaryOnTheStateIsToldAndTheNextUpFinishes(t *testing.T) {
	overNetwork(t, func(t *testing.T, on target) {
		eachSample(t, on, func(t *testing.T, s sample) {
			c, driverName, dsn, direct := overCable(t, on)
			severedAtEach(t, on, driverName, dsn, direct, s, "the server is out of reach", someBoundaries, func() {
				c.Refuse.Store(true)
				c.Cut()
			}, func() { c.Refuse.Store(false) })
		})
	})
}

// begun is a run over a cable in the middle of a statement that doesn't end.
func begun(t *testing.T, on target, ctx context.Context) (c *cable.Cable, db *sql.DB, ended chan error) {
	t.Helper()
	c, driverName, dsn, direct := overCable(t, on)
	ended = make(chan error, 1)
	db = openDB(t, driverName, direct)
	mustExec(t, db, "CREATE TABLE a (n int)")
	m := migrator(t, on, openDB(t, driverName, dsn), of(files("1_b.up.sql", "CREATE TABLE b (n int);\n"+forever(on)+";\n")))
	go func() {
		_, err := m.Up(ctx)
		ended <- err
	}()
	until(t, "the statement that takes long", func() bool { return isRunning(t, on, db, "3600") })
	return c, db, ended
}

// leftPartly is what a run that lost its statement may say: DDL that commits by itself stays.
func leftPartly(t *testing.T, on target, err error) *migrate.StepError {
	t.Helper()
	want := migrate.LeftNothing
	if isMySQL(on) {
		want = migrate.LeftPart
	}
	var failed *migrate.StepError
	if !errors.As(err, &failed) || failed.Left != want && failed.Left != migrate.LeftUnclear {
		t.Fatalf("%v", err)
	}
	t.Logf("\n%v", err)
	return failed
}

// goesOn lets the corrected file run, which waits until the server has noticed.
func goesOn(t *testing.T, on target, db *sql.DB) {
	t.Helper()
	if _, err := migrator(t, on, db, of(files("1_b.up.sql", "CREATE TABLE b (n int);\nINSERT INTO a VALUES (7);\n"))).Up(t.Context()); err != nil {
		t.Error(err)
	}
	if n := number(t, db, "SELECT count(*) FROM a"); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func TestWhenTheNetworkIsCutWhileTheServerWorksTheNextUpFinishes(t *testing.T) {
	overNetwork(t, func(t *testing.T, on target) {
		provesAtEnd(t, on, "the network is cut while the server works")
		c, db, ended := begun(t, on, context.Background())
		c.Cut()
		leftPartly(t, on, <-ended)
		goesOn(t, on, db)
	})
}

func TestWhenTheNetworkIsDeadAStopEndsTheRunAllTheSame(t *testing.T) {
	overNetwork(t, func(t *testing.T, on target) {
		provesAtEnd(t, on, "the network goes dead while the server works, and a stop")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		c, db, ended := begun(t, on, ctx)
		c.Dead.Store(true)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		} else {
			leftPartly(t, on, err)
		}
		c.Cut()
		goesOn(t, on, db)
	})
}
