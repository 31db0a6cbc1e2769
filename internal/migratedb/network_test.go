package migratedb

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/buffkit/buffkit/migrate"
)

// cable is a TCP proxy that can go dead: what is sent then arrives nowhere, and nobody is told.
type cable struct {
	net.Listener
	to   string
	dead atomic.Bool

	mu    sync.Mutex // guards what follows
	conns []net.Conn
	all   sync.WaitGroup
}

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{Listener: l, to: to}
	c.all.Go(c.accept)
	t.Cleanup(func() {
		_ = l.Close()
		c.cut()
		c.all.Wait()
	})
	return c
}

func (c *cable) accept() {
	for {
		in, err := c.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", c.to)
		if err != nil {
			_ = in.Close()
			continue
		}
		c.mu.Lock()
		c.conns = append(c.conns, in, out)
		c.mu.Unlock()
		c.all.Go(func() { c.copy(in, out) })
		c.all.Go(func() { c.copy(out, in) })
	}
}

func (c *cable) copy(from, to net.Conn) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if c.dead.Load() {
			_, _ = io.Copy(io.Discard, from)
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// cut ends all connections, which both ends notice.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

// overCable is a fresh database of PostgreSQL behind a cable.
func overCable(t *testing.T) (c *cable, dsn, direct string) {
	t.Helper()
	_, direct = onPostgres.fresh(t)
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	c = newCable(t, u.Host)
	u.Host = c.Addr().String()
	return c, u.String(), direct
}

func TestWhenTheNetworkIsCutNothingIsLeftAndTheNextUpFinishes(t *testing.T) {
	t.Parallel()
	provesAtEnd(t, onPostgres, "the network is cut")
	c, dsn, direct := overCable(t)
	fsys := files("1_a.up.sql", "CREATE TABLE a (n int);\nSELECT pg_sleep(3600);\n")
	ended := make(chan error, 1)
	m := migrator(t, onPostgres, openDB(t, "pgx", dsn), of(fsys))
	go func() {
		_, err := m.Up(context.Background())
		ended <- err
	}()
	db := openDB(t, "pgx", direct)
	until(t, "the statement that takes long", func() bool { return isRunning(t, onPostgres, db, "3600") })
	c.cut()
	err := <-ended
	var failed *migrate.StepError
	if !errors.As(err, &failed) || failed.Left != migrate.LeftNothing {
		t.Fatalf("%v", err)
	}
	t.Logf("\n%v", err)
	if _, err := migrator(t, onPostgres, db, of(files("1_a.up.sql", "CREATE TABLE a (n int);\n"))).Up(t.Context()); err != nil { // waits for the server to notice
		t.Error(err)
	}
}

func TestWhenTheNetworkIsDeadAStopEndsTheRunAllTheSame(t *testing.T) {
	t.Parallel()
	provesAtEnd(t, onPostgres, "the network goes dead, and a stop")
	c, dsn, direct := overCable(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	m := migrator(t, onPostgres, openDB(t, "pgx", dsn), of(files("1_a.up.sql", "CREATE TABLE a (n int);\nSELECT pg_sleep(3600);\n")))
	go func() {
		_, err := m.Up(ctx)
		ended <- err
	}()
	db := openDB(t, "pgx", direct)
	until(t, "the statement that takes long", func() bool { return isRunning(t, onPostgres, db, "3600") })
	c.dead.Store(true)
	cancel()
	err := <-ended
	var failed *migrate.StepError
	if !errors.Is(err, context.Canceled) || !errors.As(err, &failed) || failed.Left != migrate.LeftNothing {
		t.Fatalf("%v", err)
	}
	t.Logf("\n%v", err)
	c.cut()
	if _, err := migrator(t, onPostgres, db, of(files("1_a.up.sql", "CREATE TABLE a (n int);\n"))).Up(t.Context()); err != nil {
		t.Error(err)
	}
}
