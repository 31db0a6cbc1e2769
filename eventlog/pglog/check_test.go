package pglog_test

import (
	"strings"
	"testing"

	"github.com/buffkit/buffkit/eventlog/pglog"
	"github.com/buffkit/buffkit/internal/servers"
)

func find(t *testing.T, found []pglog.Finding, what string) pglog.Finding {
	t.Helper()
	for _, f := range found {
		if (f.Level == pglog.OK) != (f.Do == "") {
			t.Errorf("%+v: what is there to do?", f)
		}
		if strings.Contains(f.What, what) {
			return f
		}
	}
	t.Fatalf("nothing of %q in %+v", what, found)
	return pglog.Finding{}
}

func TestCheckFindsWhatLosesEvents(t *testing.T) {
	t.Parallel()
	bad := ownServer(t, "fsync=off", "full_page_writes=off", "synchronous_commit=off", "default_transaction_read_only=on", "max_connections=10", "superuser_reserved_connections=1", "max_wal_senders=1")
	good := ownServer(t, "fsync=on", "full_page_writes=on")
	openStore(t, good.URL(""), nil)
	tests := []struct {
		what      string
		bad, good pglog.Level
	}{
		{"fsync", pglog.Error, pglog.OK},
		{"full_page_writes", pglog.Error, pglog.OK},
		{"synchronous_commit", pglog.Error, pglog.OK},
		{"tables", pglog.Warning, pglog.OK},
		{"PostgreSQL 1", pglog.OK, pglog.OK},
		{"clock", pglog.OK, pglog.OK},
		{"pooler", pglog.OK, pglog.OK},
		{"max_connections", pglog.OK, pglog.OK},
	}
	ofBad, err1 := pglog.Check(t.Context(), bad.URL(""))
	ofGood, err2 := pglog.Check(t.Context(), good.URL(""))
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	for _, tt := range tests {
		if f := find(t, ofBad, tt.what); f.Level != tt.bad {
			t.Errorf("the bad server: %+v, want %s", f, tt.bad)
		}
		if f := find(t, ofGood, tt.what); f.Level != tt.good {
			t.Errorf("the good server: %+v, want %s", f, tt.good)
		}
	}
	if f := find(t, ofBad, "default_transaction_read_only"); f.Level != pglog.Error {
		t.Errorf("%+v", f)
	}
}

func TestCheckFindsAPooler(t *testing.T) {
	t.Parallel()
	server, name := freshDatabase(t)
	pooler, err := servers.PgBouncer(server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pooler.Stop() })
	found, err := pglog.Check(t.Context(), pooler.URL(name))
	if err != nil {
		t.Fatal(err)
	}
	if f := find(t, found, "pooler"); f.Level != pglog.Warning {
		t.Errorf("%+v", f)
	}
}

func TestCheckOfNoServerIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := pglog.Check(t.Context(), "postgres://postgres@127.0.0.1:1/postgres"); err == nil {
		t.Error("no error")
	}
}
