package pglog_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/pglog"
	"github.com/buffkit/buffkit/internal/servers"
	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
)

func TestTheSchemaLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	mustAppend(t, openStore(t, dsn, nil), record("t", "x"))
	m, err := migrate.New(openSQL(t, dsn), dialect.Postgres, &migrate.Options{Sources: []migrate.Source{pglog.Source()}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Down(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	exec(t, dsn, `DO $$ BEGIN
		IF EXISTS (SELECT FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname LIKE 'buffkit\_log%')
			OR EXISTS (SELECT FROM pg_proc WHERE pronamespace = current_schema()::regnamespace) THEN RAISE 'something is left'; END IF; END $$`)
	mustAppend(t, openStore(t, dsn, nil), record("t", "x"))
}

func TestOpenOnAStandbySaysWhatToDo(t *testing.T) {
	t.Parallel()
	primary := ownServer(t, "fsync=off")
	openStore(t, primary.URL(""), nil)
	standby := standbyOf(t, primary)
	for _, migrate := range []bool{false, true} {
		l, err := pglog.Open(t.Context(), standby.URL(""), &pglog.Options{Migrate: migrate})
		if l != nil || !errors.Is(err, pglog.ErrStandby) || !strings.Contains(err.Error(), "target_session_attrs") {
			t.Errorf("%v", err)
		}
	}
}

// Writers of several nodes, on a server whose sessions are serializable or repeatable read by default: none is told of a conflict, and the order is right.
func TestAStricterDefaultIsolationFailsNoAppend(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"serializable", "repeatable read"} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			server, name := freshDatabase(t)
			exec(t, server.URL(""), "ALTER DATABASE "+name+" SET default_transaction_isolation = '"+level+"'")
			nodes := []*pglog.Store{openStore(t, server.URL(name), nil), openStore(t, server.URL(name), nil)}
			p := follow(t, nodes[0], eventlog.Cursor{})
			var all sync.WaitGroup
			for w := range 8 {
				all.Go(func() {
					for i := range 30 {
						r := record(fmt.Sprint("t", i%3), fmt.Sprintf("%d/%d", w, i))
						if i%2 == 0 {
							r.IdempotencyKey = string(r.Body)
						}
						mustAppend(t, nodes[w%2], r)
					}
				})
			}
			all.Wait()
			if got := p.wait(240); len(got) != 240 {
				t.Errorf("%d records", len(got))
			}
			if err := nodes[1].Sweep(t.Context(), 0); err != nil {
				t.Error(err)
			}
			if h, err := nodes[1].History(t.Context(), eventlog.Range{Topic: "t1", Max: 1000}); err != nil || len(h.Records) != 80 {
				t.Errorf("%d records, %v", len(h.Records), err)
			}
		})
	}
}

// A listener elsewhere that never ends its transaction lets the server's queue fill up; then every commit of a transaction that notifies fails.
// The queue has 8 GiB, so its fill level and its refusal are played here.
func TestAFullQueueOfNotificationsFailsNoCommit(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	l := openLog(t, dsn, &pglog.Options{Poll: 10 * time.Millisecond})
	exec(t, dsn, `CREATE FUNCTION pg_notification_queue_usage() RETURNS double precision LANGUAGE sql AS 'SELECT 0.9::double precision';
		CREATE FUNCTION pg_notify(text, text) RETURNS void LANGUAGE plpgsql AS 'BEGIN RAISE ''too many notifications in the NOTIFY queue''; END';
		DO $$ BEGIN
			EXECUTE format('ALTER FUNCTION buffkit_log_append SET search_path = %I, pg_catalog', current_schema());
			EXECUTE format('ALTER FUNCTION buffkit_log_append_once SET search_path = %I, pg_catalog', current_schema());
		END $$`)
	r := newReader(t, l)
	pool := newPool(t, dsn)
	for i := range 3 {
		events := []eventlog.Event{{Topic: "all", Data: []byte("x")}, {Topic: "all", Data: []byte("x"), IdempotencyKey: fmt.Sprint(i)}}
		for _, e := range events {
			if _, err := l.Append(t.Context(), e); err != nil {
				t.Error(err)
			}
		}
		if err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return l.AppendTx(t.Context(), tx, events[0]) }); err != nil {
			t.Error(err)
		}
	}
	if got := r.wait(9); len(got) != 9 {
		t.Errorf("%d events", len(got))
	}
}

// Behind a pooler in transaction mode, the app's transactions and the log's own share two connections.
func TestAppendTxAcrossAPooler(t *testing.T) {
	t.Parallel()
	server, name := freshDatabase(t)
	pooler, err := servers.PgBouncer(server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pooler.Stop(); err != nil {
			t.Error(err)
		}
	})
	url := with(t, pooler.URL(name), "default_query_exec_mode", "exec")
	l := openLog(t, url, &pglog.Options{Poll: 10 * time.Millisecond})
	other := openLog(t, url, &pglog.Options{Poll: 10 * time.Millisecond})
	readers := []*reader{newReader(t, l), newReader(t, other)}
	pool, db := newPool(t, url), openSQL(t, url)
	exec(t, server.URL(name), `CREATE TABLE accounts (id int PRIMARY KEY, changes int NOT NULL); INSERT INTO accounts SELECT n, 0 FROM generate_series(0, 3) n;
		CREATE TABLE changes (id text PRIMARY KEY, account int, change int)`)
	const writers, each = 6, 20
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				c := change{id: fmt.Sprintf("%d-%d", w, i), account: i % 4, early: i%3 == 0, commit: (i+w)%2 == 0}
				var err error
				if i%4 < 2 {
					err = c.bySQL(t.Context(), db, other)
				} else {
					err = c.byPgx(t.Context(), pool, l)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	want := orderOfCommits(t, newPool(t, server.URL(name)))
	for i, r := range readers {
		got := r.wait(writers * each)
		for account, ids := range want {
			if mine := ofAccount(got, account); fmt.Sprint(mine) != fmt.Sprint(ids) {
				t.Errorf("reader %d, account %d: %v, want %v", i, account, mine, ids)
			}
		}
	}
}
