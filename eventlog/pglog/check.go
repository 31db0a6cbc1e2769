package pglog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
)

// Check looks at the server behind a URL, as Open takes it, and at the log's tables: what may lose events, what stops the log, and what makes it slow.
// It changes nothing. An error means that it couldn't look.
func Check(ctx context.Context, url string) ([]eventlog.Finding, error) {
	return checkAt(ctx, url, check)
}

// CheckServer is Check without what is about the log alone: for a database that an app has of its own.
func CheckServer(ctx context.Context, url string) ([]eventlog.Finding, error) {
	return checkAt(ctx, url, func(ctx context.Context, c conns) ([]eventlog.Finding, error) {
		f, err := ask(ctx, c)
		if err != nil {
			return nil, err
		}
		return f.ofServer(), nil
	})
}

// Check is the function Check for the server of an open log.
func (l *Log) Check(ctx context.Context) ([]eventlog.Finding, error) {
	return check(ctx, l.store.conns)
}

func checkAt(ctx context.Context, url string, check func(context.Context, conns) ([]eventlog.Finding, error)) ([]eventlog.Finding, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("pglog: %w", err)
	}
	config.MinConns, config.MinIdleConns, config.MaxConns = 0, 0, 1
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("pglog: %w", err)
	}
	defer pool.Close()
	return check(ctx, pgxConns{pool, false})
}

func check(ctx context.Context, c conns) ([]eventlog.Finding, error) {
	f, err := ask(ctx, c)
	if err != nil {
		return nil, err
	}
	found := append(f.ofServer(), f.ofIsolation(), f.ofPooler(), f.ofVacuum(), f.ofTables())
	if f.tables && f.lacking == "" {
		found = append(found, ofSchema(ctx, c, f.pooled))
	}
	return found, nil
}

// facts are what the server says of itself.
type facts struct {
	server
	settings              map[string]string
	standby, tables       bool
	standbys, connections int
	schema                string // where tables would be made, "" if there is none
	lacking               string // rights on the log's tables, or the right to make them
	clock                 eventlog.Finding
}

var settings = []string{"synchronous_commit", "fsync", "full_page_writes", "default_transaction_read_only", "default_transaction_isolation",
	"synchronous_standby_names", "max_connections", "autovacuum"}

const factsQuery = `
SELECT pg_is_in_recovery(), to_regclass('buffkit_log') IS NOT NULL, coalesce(current_schema(), ''),
	(SELECT count(*) FROM pg_stat_replication)::int, (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int,
	CASE WHEN to_regclass('buffkit_log') IS NULL THEN
		CASE WHEN NOT has_schema_privilege(current_schema(), 'CREATE') THEN 'CREATE on the schema ' || current_schema() END
	ELSE (
		SELECT string_agg(needed || ' on ' || t.relname, ', ' ORDER BY t.relname, needed) FROM pg_class l
		JOIN pg_class t ON t.relnamespace = l.relnamespace AND t.relname LIKE 'buffkit\_log%' AND t.relkind IN ('r', 'p')
		CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS needed
		WHERE l.oid = to_regclass('buffkit_log') AND NOT has_table_privilege(t.oid, needed)
	) END`

func ask(ctx context.Context, c conns) (f facts, err error) {
	if f.server, err = look(ctx, c); err != nil {
		return f, explained(err)
	}
	err = c.with(ctx, func(conn *pgx.Conn) error {
		var lacking *string
		if err := conn.QueryRow(ctx, factsQuery, pgx.QueryExecModeExec).Scan(&f.standby, &f.tables, &f.schema, &f.standbys, &f.connections, &lacking); err != nil {
			return err
		}
		if lacking != nil {
			f.lacking = *lacking
		}
		if f.settings, err = askSettings(ctx, conn); err != nil {
			return err
		}
		var now time.Time
		asked := time.Now()
		if err := conn.QueryRow(ctx, "SELECT clock_timestamp()", pgx.QueryExecModeExec).Scan(&now); err != nil {
			return err
		}
		f.clock = eventlog.CheckClock(now, asked, time.Now())
		return nil
	})
	return f, explained(err)
}

func askSettings(ctx context.Context, conn *pgx.Conn) (map[string]string, error) {
	rows, err := conn.Query(ctx, "SELECT name, setting FROM pg_settings WHERE name = ANY($1::text[])", pgx.QueryExecModeExec, settings)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	var name, value string
	_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error {
		all[name] = value
		return nil
	})
	return all, err
}

const crowded = 0.8 // of max_connections

// ofServer is about any database.
func (f *facts) ofServer() []eventlog.Finding {
	return []eventlog.Finding{f.ofVersion(), f.ofWrites(), f.ofFsync(), f.ofPages(), f.ofCommit(), f.ofStandbys(), f.ofConnections(), f.clock}
}

func (f *facts) ofVersion() eventlog.Finding {
	if err := f.server.check(); err != nil {
		return eventlog.FoundError(strings.TrimPrefix(err.Error(), "pglog: "), "move to another server or database")
	}
	return eventlog.FoundOK(fmt.Sprintf("PostgreSQL %d.%d, UTF8", f.version/10000, f.version%10000))
}

func (f *facts) ofWrites() eventlog.Finding {
	switch {
	case f.standby:
		return eventlog.FoundError("the server is a standby: nothing can be written", "connect to the primary, or name all of them in the URL and add target_session_attrs=read-write")
	case f.settings["default_transaction_read_only"] == "on":
		return eventlog.FoundError("default_transaction_read_only is on: nothing can be written", "set it off for this database and user")
	}
	return eventlog.FoundOK("the server takes writes")
}

func (f *facts) ofFsync() eventlog.Finding {
	if f.settings["fsync"] != "on" {
		return eventlog.FoundError("fsync is off: when the machine crashes the whole database may be lost", "set fsync = on and restart the server")
	}
	return eventlog.FoundOK("fsync is on")
}

func (f *facts) ofPages() eventlog.Finding {
	if f.settings["full_page_writes"] != "on" {
		return eventlog.FoundError("full_page_writes is off: when the machine crashes pages may be torn", "set full_page_writes = on, unless the file system writes pages of 8 KiB whole")
	}
	return eventlog.FoundOK("full_page_writes is on")
}

func (f *facts) ofCommit() eventlog.Finding {
	if f.settings["synchronous_commit"] == "off" {
		return eventlog.FoundError("synchronous_commit is off: when the server crashes, what was committed in about its last second is lost though it was acknowledged",
			"set synchronous_commit = on for this database and user")
	}
	return eventlog.FoundOK("synchronous_commit is " + f.settings["synchronous_commit"])
}

func (f *facts) ofStandbys() eventlog.Finding {
	names := f.settings["synchronous_standby_names"]
	switch {
	case names == "" && f.standbys == 0:
		return eventlog.FoundOK("no standby follows: there is no failover, and none that loses anything")
	case names == "":
		return eventlog.FoundWarning(fmt.Sprintf("%d standbys follow, and none is waited for: a failover loses the newest commits; readers of the log are told a gap then", f.standbys),
			"name them in synchronous_standby_names, if that must not be")
	case f.standbys == 0:
		return eventlog.FoundError("synchronous_standby_names is "+names+", and no standby follows: commits wait for one without end", "bring a standby back, or set synchronous_standby_names = ''")
	case f.settings["synchronous_commit"] == "local":
		return eventlog.FoundWarning("synchronous_commit is local: the standbys of synchronous_standby_names aren't waited for", "set synchronous_commit = on for this database and user")
	}
	return eventlog.FoundOK("standbys are waited for: " + names)
}

func (f *facts) ofConnections() eventlog.Finding {
	what := fmt.Sprintf("%d of max_connections = %s are taken", f.connections, f.settings["max_connections"])
	if most, _ := strconv.Atoi(f.settings["max_connections"]); float64(f.connections) > crowded*float64(most) {
		return eventlog.FoundWarning(what, "raise max_connections, or make the pools smaller: a node's log needs three, and keeps one")
	}
	return eventlog.FoundOK(what)
}

func (f *facts) ofIsolation() eventlog.Finding {
	switch isolation := f.settings["default_transaction_isolation"]; isolation {
	case "read committed", "read uncommitted":
		return eventlog.FoundOK("default_transaction_isolation is " + isolation)
	default:
		return eventlog.FoundWarning("default_transaction_isolation is "+isolation+": AppendTx refuses the app's transactions that begin with it",
			"set it to read committed for this database and user, or begin those with it")
	}
}

func (f *facts) ofPooler() eventlog.Finding {
	if f.pooled {
		return eventlog.FoundWarning("a pooler stands between: events arrive up to Options.Poll later, since notifications don't pass",
			"nothing, or give the log a URL of the server's own")
	}
	return eventlog.FoundOK("no pooler between")
}

func (f *facts) ofVacuum() eventlog.Finding {
	if f.settings["autovacuum"] != "on" {
		return eventlog.FoundWarning("autovacuum is off: what retention deletes keeps its place on the disk", "set autovacuum = on")
	}
	return eventlog.FoundOK("autovacuum is on")
}

func (f *facts) ofTables() eventlog.Finding {
	const open = "open the log with Options.Migrate, as buffkit serve does, or add pglog.Source() to the app's migrations"
	switch {
	case f.tables && f.lacking != "":
		return eventlog.FoundError("the user lacks rights: "+f.lacking, "grant SELECT, INSERT, UPDATE and DELETE on the tables whose names begin with buffkit_log, or connect as their owner")
	case f.tables:
		return eventlog.FoundOK("the log's tables are there")
	case f.schema == "":
		return eventlog.FoundError("the log's tables aren't there, and search_path names no schema that is", "set search_path, in the URL say: ?search_path=public")
	case f.lacking != "":
		return eventlog.FoundError("the log's tables aren't there, and the user lacks a right to make them: "+f.lacking, "grant it, or let the owner make them: "+open)
	}
	return eventlog.FoundWarning("the log's tables aren't there", open)
}

// ofSchema is about the version of the tables. A ledger that isn't where Options.Migrate has it is the app's own business.
func ofSchema(ctx context.Context, c conns, pooled bool) eventlog.Finding {
	all, err := schemaStatus(ctx, c, pooled)
	if err != nil {
		return eventlog.FoundWarning("how old the log's tables are can't be read: "+err.Error(), "let the user read the ledger, "+migrate.DefaultTable)
	}
	count, newer := map[migrate.State]int{}, ""
	for _, i := range all {
		switch {
		case i.Ref.Source != SourceName:
		case i.Missing:
			newer = string(i.Ref.Version)
		default:
			count[i.State]++
		}
	}
	begun := count[migrate.Applying] + count[migrate.Undoing]
	switch open := begun + count[migrate.Pending]; {
	case newer != "":
		return eventlog.FoundWarning("the log's tables are those of a newer version: its migration "+newer+" isn't known here", "deploy the newer version everywhere")
	case begun+count[migrate.Applied] == 0:
		return eventlog.FoundOK("the log's tables are in a ledger that isn't " + migrate.DefaultTable)
	case open > 0:
		return eventlog.FoundError(fmt.Sprintf("the log's tables are old, or half made: %d of their migrations are to be run", open),
			"open the log with Options.Migrate, as buffkit serve does, or run the app's migrations")
	}
	return eventlog.FoundOK("the log's tables are up to date")
}

func schemaStatus(ctx context.Context, c conns, pooled bool) ([]migrate.Info, error) {
	db, done := c.db(pooled)
	m, err := migrate.New(db, dialect.Postgres, &migrate.Options{Sources: []migrate.Source{Source()}, AllowMissing: true})
	var all []migrate.Info
	if err == nil {
		all, err = m.Status(ctx)
	}
	return all, errors.Join(err, done())
}
