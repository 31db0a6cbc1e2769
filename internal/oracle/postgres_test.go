package oracle

import (
	"context"
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

// postgres is a server that syncs every commit: nothing that it does may lose anything.
type postgres struct{ server *servers.PostgresDB }

func startPostgres(t *testing.T) *postgres {
	t.Helper()
	server, err := servers.PostgresWith("fsync=on", "synchronous_commit=on")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	log, err := pglog.Open(t.Context(), server.URL(""), &pglog.Options{Migrate: true}) // once, for all nodes
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return &postgres{server}
}

func (p *postgres) target() string { return "127.0.0.1:" + strconv.Itoa(p.server.Port) }

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

func (p *postgres) healed(ctx context.Context) error {
	return again(ctx, func() error {
		conn, err := pgx.Connect(ctx, p.server.URL(""))
		if err != nil {
			return fmt.Errorf("PostgreSQL doesn't come back: %w", err)
		}
		return conn.Close(ctx)
	})
}
