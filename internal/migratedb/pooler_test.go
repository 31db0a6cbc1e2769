package migratedb

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/buffkit/buffkit/internal/servers"
	"github.com/buffkit/buffkit/migrate"
)

// Behind a pooler in transaction mode a lock of the connection's is worth nothing. A lease is.
func TestBehindAPoolerALeaseKeepsRunnersApart(t *testing.T) {
	t.Parallel()
	provesAtEnd(t, onPostgres, "a pooler in front")
	server, err := startPostgres()
	if err != nil {
		t.Fatal(err)
	}
	pooler, err := servers.PgBouncer(server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pooler.Stop(); err != nil {
			t.Error(err)
		}
	})
	driverName, direct := onPostgres.fresh(t)
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	dsn := pooler.URL(strings.TrimPrefix(u.Path, "/")) + "?default_query_exec_mode=simple_protocol"
	opts := of(files(slowIndex(onPostgres)...))
	opts.Lock = migrate.LeaseLock
	var all sync.WaitGroup
	var applied sync.Map
	for range 8 {
		m := migrator(t, onPostgres, openDB(t, driverName, dsn), opts)
		all.Go(func() {
			res, err := m.Up(context.Background())
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
	db := openDB(t, driverName, direct)
	if n := number(t, db, "SELECT count(*) FROM t"); n != 2001 {
		t.Errorf("%d rows", n)
	}
	t.Run("and the other lock is refused, since it would keep nobody out", func(t *testing.T) {
		auto := opts
		auto.Lock = migrate.AutoLock
		auto.Sources = []migrate.Source{{FS: files(append(slowIndex(onPostgres), "5_more.up.sql", "CREATE TABLE more (n int);\n")...)}}
		_, err := migrator(t, onPostgres, openDB(t, driverName, dsn), auto).Up(t.Context())
		if !errors.Is(err, migrate.ErrPooler) || has(t, db, "more") {
			t.Errorf("%v", err)
		}
		t.Log(err)
	})
	t.Run("and leaves the shared connections as they were", func(t *testing.T) {
		for range 20 {
			var timeout, name string
			shared := openDB(t, driverName, dsn)
			if err := shared.QueryRow("SELECT current_setting('lock_timeout'), current_setting('application_name')").Scan(&timeout, &name); err != nil {
				t.Fatal(err)
			}
			if timeout != "0" || strings.Contains(name, "buffkit") {
				t.Fatalf("lock_timeout %s, application_name %s", timeout, name)
			}
		}
	})
	t.Run("and what is stopped is rolled back", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		more := opts
		more.Sources = []migrate.Source{{FS: files(append(slowIndex(onPostgres), "5_long.up.sql", "CREATE TABLE five (n int);\n"+forever(onPostgres)+";\n")...)}}
		ended := make(chan error, 1)
		m := migrator(t, onPostgres, openDB(t, driverName, dsn), more)
		go func() {
			_, err := m.Up(ctx)
			ended <- err
		}()
		until(t, "the statement that takes long", func() bool { return isRunning(t, onPostgres, db, "3600") })
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		until(t, "that the server stops it", func() bool { return !isRunning(t, onPostgres, db, "3600") })
		if has(t, db, "five") {
			t.Error("a part of it is left")
		}
	})
}

// What a proxy of MySQL's that shares connections needs is the lease, as with PostgreSQL. A plain one needs nothing: the tests over a cable.
func TestALeaseKeepsRunnersApartOnEachServer(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		provesAtEnd(t, on, "8 runners at once, with a lease")
		driverName, dsn := on.fresh(t)
		opts := of(files(slowIndex(on)...))
		opts.Lock = migrate.LeaseLock
		var all sync.WaitGroup
		var applied sync.Map
		for range 8 {
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
