package pglog_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/pglog"
	"github.com/buffkit/buffkit/internal/servers"
)

// wantFindings checks that these, in any order, are all that isn't fine, each "level: a part of its text".
func wantFindings(t *testing.T, dsn string, want ...string) {
	t.Helper()
	found, err := pglog.Check(t.Context(), dsn)
	if err != nil {
		t.Error(err)
		return
	}
	var got []string
	for _, f := range found {
		if (f.Level == eventlog.LevelOK) != (f.Do == "") {
			t.Errorf("%+v: what isn't fine has something to do", f)
		}
		if f.Level != eventlog.LevelOK {
			got = append(got, string(f.Level)+": "+f.What)
		}
	}
	missing := slices.ContainsFunc(want, func(want string) bool {
		level, part, _ := strings.Cut(want, ": ")
		return !slices.ContainsFunc(got, func(got string) bool { return strings.HasPrefix(got, level+": ") && strings.Contains(got, part) })
	})
	if missing || len(got) != len(want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

func TestCheckFindsWhatLosesEvents(t *testing.T) {
	t.Parallel()
	bad := ownServer(t, "fsync=off", "full_page_writes=off", "autovacuum=off", "max_connections=10", "superuser_reserved_connections=0", "max_wal_senders=1").URL("")
	careful := ownServer(t, "autovacuum=on").URL("")
	wantFindings(t, bad, "error: fsync is off", "error: full_page_writes is off", "warning: autovacuum is off", "warning: the log's tables aren't there")
	openStore(t, careful, nil)
	wantFindings(t, careful)

	option := func(setting string) string {
		return strings.ReplaceAll(with(t, careful, "options", "-c "+setting), "+", "%20")
	}
	for _, tt := range []struct{ setting, want string }{
		{"synchronous_commit=off", "error: about its last second"},
		{"default_transaction_read_only=on", "error: default_transaction_read_only is on"},
		{`default_transaction_isolation=repeatable\ read`, "warning: default_transaction_isolation is repeatable read"},
	} {
		wantFindings(t, option(tt.setting), tt.want)
	}
	wantFindings(t, option("search_path=nowhere"), "error: search_path names no schema")

	exec(t, careful, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
	exec(t, careful, "SELECT pg_reload_conf()")
	until(t, "the setting is in force", func() bool {
		found, err := pglog.Check(t.Context(), careful)
		return err == nil && slices.ContainsFunc(found, func(f eventlog.Finding) bool { return strings.Contains(f.What, "nobody") })
	})
	wantFindings(t, careful, "error: commits wait for one without end")
}

func TestCheckFindsThatConnectionsRunOut(t *testing.T) {
	t.Parallel()
	server := ownServer(t, "autovacuum=on", "max_connections=10", "superuser_reserved_connections=0", "max_wal_senders=1")
	pool := newPool(t, server.URL(""))
	for range 8 {
		conn, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Release()
	}
	wantFindings(t, server.URL(""), "warning: 9 of max_connections = 10", "warning: the log's tables aren't there")
}

func TestCheckFindsAStandby(t *testing.T) {
	t.Parallel()
	primary := ownServer(t, "autovacuum=on")
	openStore(t, primary.URL(""), nil)
	standby, err := primary.Standby("autovacuum=on")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = standby.Stop() })
	until(t, "the standby follows", func() bool {
		found, err := pglog.Check(t.Context(), primary.URL(""))
		return err == nil && slices.ContainsFunc(found, func(f eventlog.Finding) bool { return strings.Contains(f.What, "1 standbys follow") })
	})
	wantFindings(t, primary.URL(""), "warning: 1 standbys follow, and none is waited for")
	wantFindings(t, standby.URL(""), "error: the server is a standby")
}

func TestCheckFindsWhatIsWrongWithTheTables(t *testing.T) {
	t.Parallel()
	server, name := freshDatabase(t)
	dsn := server.URL(name)
	const vacuum, fsync = "warning: autovacuum is off", "error: fsync is off" // as servers for tests have it
	user := "log_" + name
	exec(t, dsn, "CREATE ROLE "+user+" LOGIN")
	t.Cleanup(func() { exec(t, server.URL(""), "DROP ROLE "+user) })
	t.Cleanup(func() { exec(t, dsn, "DROP OWNED BY "+user) })
	asUser := strings.Replace(dsn, "postgres@", user+"@", 1)

	wantFindings(t, dsn, vacuum, fsync, "warning: the log's tables aren't there")
	exec(t, dsn, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
	wantFindings(t, asUser, vacuum, fsync, "error: lacks a right to make them: CREATE on the schema public")

	openStore(t, dsn, nil)
	wantFindings(t, dsn, vacuum, fsync)
	exec(t, dsn, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO "+user)
	wantFindings(t, asUser, vacuum, fsync, "error: UPDATE on buffkit_log")
	exec(t, dsn, "GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "+user)
	wantFindings(t, asUser, vacuum, fsync)

	exec(t, dsn, "UPDATE buffkit_migrations SET state = 'applying' WHERE source = 'pglog'")
	wantFindings(t, dsn, vacuum, fsync, "error: the log's tables are old")
	exec(t, dsn, "UPDATE buffkit_migrations SET state = 'applied', version = '99' WHERE source = 'pglog'")
	wantFindings(t, dsn, vacuum, fsync, "warning: its migration 99")
	exec(t, dsn, "DELETE FROM buffkit_migrations")
	wantFindings(t, dsn, vacuum, fsync) // an app with a ledger of another name
}

func TestCheckFindsAPooler(t *testing.T) {
	t.Parallel()
	server, name := freshDatabase(t)
	openStore(t, server.URL(name), nil)
	pooler, err := servers.PgBouncer(server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pooler.Stop() })
	wantFindings(t, pooler.URL(name), "warning: a pooler stands between", "warning: autovacuum is off", "error: fsync is off")
}

func TestCheckOfAServerSaysNothingOfTheLog(t *testing.T) {
	t.Parallel()
	server, name := freshDatabase(t)
	found, err := pglog.CheckServer(t.Context(), server.URL(name))
	if err != nil || len(found) == 0 {
		t.Fatal(found, err)
	}
	for _, f := range found {
		if strings.Contains(f.What, "tables") || strings.Contains(f.What, "pooler") {
			t.Errorf("%+v", f)
		}
	}
}

func TestCheckOfAnOpenLog(t *testing.T) {
	t.Parallel()
	log, err := pglog.Open(t.Context(), fresh(t), &pglog.Options{Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	found, err := log.Check(context.Background())
	if err != nil || !slices.Contains(found, eventlog.FoundOK("the log's tables are up to date")) {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestCheckOfNoServerIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := pglog.Check(t.Context(), "postgres://postgres@127.0.0.1:1/postgres"); err == nil {
		t.Error("no error")
	}
	if _, err := pglog.Check(t.Context(), "postgres://postgres:se%2cret@127.0.0.1:port/"); err == nil || strings.Contains(err.Error(), "se,cret") {
		t.Errorf("%v", err)
	}
}
