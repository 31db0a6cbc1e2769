package oracle

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog/pglog"
	"github.com/buffkit/buffkit/internal/servers"
	"github.com/jackc/pgx/v5"
)

func TestNothingIsLostSilentlyOnPostgreSQL(t *testing.T) {
	t.Parallel()
	runOn(t, startPostgres(t))
}

// postgres is a server that syncs every commit: nothing but a failover to a standby that lacks the tail may lose anything. Its server changes during
// faults alone, of which there is one at a time.
type postgres struct{ server *servers.PostgresDB }

var durable = []string{"fsync=on", "synchronous_commit=on"}

func startPostgres(t *testing.T) *postgres {
	t.Helper()
	server, err := servers.PostgresWith(durable...)
	if err != nil {
		t.Fatal(err)
	}
	stopAtTheEnd(t, server)
	log, err := pglog.Open(t.Context(), server.URL(""), &pglog.Options{Migrate: true}) // once, for all nodes
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return &postgres{server}
}

func stopAtTheEnd(t *testing.T, server *servers.PostgresDB) {
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
}

func (p *postgres) target() string { return addrOf(p.server) }

func addrOf(server *servers.PostgresDB) string { return "127.0.0.1:" + strconv.Itoa(server.Port) }

func (p *postgres) node(proxy string) nodeConfig {
	u, err := url.Parse(p.server.URL(""))
	if err != nil {
		panic(err)
	}
	u.Host = proxy
	u.RawQuery = url.Values{"pool_max_conns": {"6"}, "connect_timeout": {"2"}}.Encode()
	return nodeConfig{Postgres: u.String()}
}

func (p *postgres) transactions() bool { return true }

func (p *postgres) faults(r *run) []fault {
	return []fault{
		{"PostgreSQL's backends are killed", 6, func() error { return p.terminated(r) }},
		{"PostgreSQL is stopped at once", 4, func() error { return p.stopped(r) }},
		{"PostgreSQL is restarted in order", 1, func() error { return p.restarted(r) }},
		{"PostgreSQL fails over and loses the tail", 3, func() error { return p.failedOver(r, p.withoutTheTail) }},
		{"PostgreSQL is two for a while", 2, func() error { return p.failedOver(r, p.split) }},
		{"PostgreSQL fails over and loses nothing", 2, func() error { return p.failedOver(r, p.withEverything) }},
	}
}

// terminated ends all connections of the nodes, some of them in the middle of a commit.
func (p *postgres) terminated(r *run) error {
	defer r.ledger.happens("PostgreSQL's backends are killed")()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.server.URL(""))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for range 1 + r.n(3) {
		_, err := conn.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
		if err != nil {
			return err
		}
		r.pause(0, 300*time.Millisecond)
	}
	return nil
}

// stopped is "pg_ctl stop -m immediate": no checkpoint, no goodbye. The server recovers from its log when it starts.
func (p *postgres) stopped(r *run) error {
	defer r.ledger.happens("PostgreSQL is stopped at once")()
	if err := p.server.Crash(); err != nil {
		return err
	}
	r.pause(0, 2*time.Second)
	return p.server.Start()
}

func (p *postgres) restarted(r *run) error {
	defer r.ledger.happens("PostgreSQL is restarted in order")()
	if err := p.server.Halt(); err != nil {
		return err
	}
	return p.server.Start()
}

// failedOver puts a standby in the server's stead, on the addresses that the nodes know. All nodes are whole meanwhile, as in that of Redis.
func (p *postgres) failedOver(r *run, promote func(ctx context.Context, r *run, standby *servers.PostgresDB) error) error {
	r.calm.Lock()
	defer r.calm.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), settleWithin)
	defer cancel()
	standby, err := p.server.Standby(durable...)
	if err != nil {
		return err
	}
	stopAtTheEnd(r.t, standby)
	if err := r.fleet.settled(ctx); err != nil {
		return err
	}
	if err := promote(ctx, r, standby); err != nil {
		return err
	}
	old := p.server
	p.server = standby
	return old.Stop()
}

// withoutTheTail promotes the standby while the server goes on to acknowledge what the standby never gets.
func (p *postgres) withoutTheTail(ctx context.Context, r *run, standby *servers.PostgresDB) error {
	defer r.ledger.happens("PostgreSQL fails over and loses the tail")()
	lost, over := r.ledger.loses()
	defer over()
	if err := p.inSync(ctx, standby); err != nil {
		return err
	}
	if err := promoted(ctx, standby); err != nil {
		return err
	}
	lost.sure.from = r.ledger.now()
	r.pause(300*time.Millisecond, 1500*time.Millisecond)
	r.swarm.cut(0.5) // these miss what comes last
	r.pause(100*time.Millisecond, 300*time.Millisecond)
	lost.sure.to = r.ledger.now()
	return p.end(ctx, r, standby)
}

// end lets the server's successor take all its nodes.
func (p *postgres) end(ctx context.Context, r *run, standby *servers.PostgresDB) error {
	leadTo(addrOf(standby), r.fleet.members...)
	if err := p.server.Crash(); err != nil {
		return err
	}
	r.pause(2*time.Second, 2*time.Second) // a node that hasn't noticed yet is healthy, too
	return r.fleet.settled(ctx)
}

// split promotes the standby for some of the nodes, while another one still has the server.
func (p *postgres) split(ctx context.Context, r *run, standby *servers.PostgresDB) error {
	defer r.ledger.happens("PostgreSQL is two for a while")()
	lost, over := r.ledger.loses()
	defer over()
	lost.sure = span{} // nobody notes which node an event was published by
	err := r.inTwo(addrOf(standby), func() error { return errors.Join(p.inSync(ctx, standby), promoted(ctx, standby)) })
	if err != nil {
		return err
	}
	return p.end(ctx, r, standby)
}

// withEverything stops the server in order, which sends the standby all that it has: nobody may be told a gap.
func (p *postgres) withEverything(ctx context.Context, r *run, standby *servers.PostgresDB) error {
	defer r.ledger.happens("PostgreSQL fails over and loses nothing")()
	if err := errors.Join(p.inSync(ctx, standby), p.server.Halt(), promoted(ctx, standby)); err != nil {
		return err
	}
	leadTo(addrOf(standby), r.fleet.members...)
	return r.fleet.settled(ctx)
}

// inSync waits until a standby has all that the server has now.
func (p *postgres) inSync(ctx context.Context, standby *servers.PostgresDB) error {
	var has string
	if err := ask(ctx, p.server, &has, "SELECT pg_current_wal_flush_lsn()::text"); err != nil {
		return err
	}
	return again(ctx, func() error {
		var synced bool
		err := ask(ctx, standby, &synced, "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", has)
		if err == nil && !synced {
			err = errors.New("the standby isn't in sync")
		}
		return err
	})
}

// promoted returns when a standby takes what is written.
func promoted(ctx context.Context, standby *servers.PostgresDB) error {
	var done bool
	err := ask(ctx, standby, &done, "SELECT pg_promote()")
	if err == nil && !done {
		err = errors.New("the standby isn't promoted within a minute")
	}
	return err
}

// ask sends a query that has one value to a server.
func ask(ctx context.Context, server *servers.PostgresDB, value any, query string, args ...any) error {
	conn, err := pgx.Connect(ctx, server.URL(""))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return conn.QueryRow(ctx, query, args...).Scan(value)
}

func (p *postgres) healed(ctx context.Context) error {
	return again(ctx, func() error {
		conn, err := pgx.Connect(ctx, p.server.URL(""))
		if err != nil {
			return fmt.Errorf("PostgreSQL doesn't come back: %w", err)
		}
		return conn.Close(ctx)
	})
}
