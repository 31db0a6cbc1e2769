package pglog

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Level says how bad a Finding is.
type Level string

// The levels.
const (
	OK      Level = "ok"      // nothing to do
	Warning Level = "warning" // slower than it could be, or a risk that may be meant
	Error   Level = "error"   // events get lost, or the log doesn't work
)

// Finding is one thing that Check has looked at.
type Finding struct {
	Level Level
	What  string // what was found
	Do    string // what to change, "" for OK
}

// Check looks at the server behind a URL, as Open takes it: what may lose events, and what makes the log slow. It changes nothing. An error means that it couldn't look.
func Check(ctx context.Context, url string) ([]Finding, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("pglog: %w", err)
	}
	config.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("pglog: %w", err)
	}
	defer pool.Close()
	return check(ctx, pgxConns{pool, false})
}

// Check is the function Check for the server of an open log.
func (l *Log) Check(ctx context.Context) ([]Finding, error) { return check(ctx, l.store.conns) }

// facts are what the server says of itself.
type facts struct {
	server
	synchronousCommit, fsync, fullPageWrites, readOnly string
	standby, tables                                    bool
	standbys                                           string
	maxConnections, connections                        int
	clock                                              time.Time     // the server's
	distance                                           time.Duration // of its clock from ours
	doubt                                              time.Duration // how exact that is
}

const factsQuery = `
SELECT current_setting('synchronous_commit'), current_setting('fsync'), current_setting('full_page_writes'), current_setting('default_transaction_read_only'),
	pg_is_in_recovery(), to_regclass('buffkit_log') IS NOT NULL, current_setting('synchronous_standby_names'),
	current_setting('max_connections')::int, (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int, clock_timestamp()`

func check(ctx context.Context, c conns) ([]Finding, error) {
	var f facts
	var err error
	if f.server, err = look(ctx, c); err != nil {
		return nil, explained(err)
	}
	err = c.with(ctx, func(conn *pgx.Conn) error {
		asked := time.Now()
		err := conn.QueryRow(ctx, factsQuery, pgx.QueryExecModeExec).Scan(&f.synchronousCommit, &f.fsync, &f.fullPageWrites, &f.readOnly, &f.standby,
			&f.tables, &f.standbys, &f.maxConnections, &f.connections, &f.clock)
		f.doubt = time.Since(asked) / 2
		f.distance = f.clock.Sub(asked.Add(f.doubt))
		return err
	})
	if err != nil {
		return nil, explained(err)
	}
	return f.findings(), nil
}

const (
	clockWarning = time.Second // ages and the time of an offset are off by as much
	clockError   = time.Minute // retention and windows aren't what they say
	crowded      = 0.8         // of max_connections
)

func (f *facts) findings() []Finding {
	found := []Finding{f.ofVersion(), f.ofTables(), f.ofWrites(), f.ofFsync(), f.ofPages(), f.ofCommit(), f.ofClock(), f.ofConnections(), f.ofPooler()}
	if f.standbys == "" {
		found = append(found, Finding{OK, "no synchronous standby: after a failover to an asynchronous one the newest events may be gone, and every client is told so", ""})
	}
	return found
}

func (f *facts) ofVersion() Finding {
	if err := f.server.check(); err != nil {
		return Finding{Error, err.Error(), "move to another server or database"}
	}
	return Finding{OK, fmt.Sprintf("PostgreSQL %d.%d, UTF8", f.version/10000, f.version%10000), ""}
}

func (f *facts) ofTables() Finding {
	if !f.tables {
		return Finding{Warning, "the log's tables aren't there", "open the log with Options.Migrate, or add pglog.Source() to the app's migrations"}
	}
	return Finding{OK, "the log's tables are there", ""}
}

func (f *facts) ofWrites() Finding {
	switch {
	case f.standby:
		return Finding{Error, "the server is a standby: it takes no events", "connect to the primary, or name all of them in the URL and add target_session_attrs=read-write"}
	case f.readOnly == "on":
		return Finding{Error, "default_transaction_read_only is on: the log takes no events", "set it off for this database and user"}
	}
	return Finding{OK, "the server takes writes", ""}
}

func (f *facts) ofFsync() Finding {
	if f.fsync != "on" {
		return Finding{Error, "fsync is off: when the machine crashes the whole database may be lost", "set fsync = on and restart the server"}
	}
	return Finding{OK, "fsync is on", ""}
}

func (f *facts) ofPages() Finding {
	if f.fullPageWrites != "on" {
		return Finding{Error, "full_page_writes is off: when the machine crashes pages may be torn", "set full_page_writes = on, unless the file system writes pages of 8 KiB whole"}
	}
	return Finding{OK, "full_page_writes is on", ""}
}

func (f *facts) ofCommit() Finding {
	if f.synchronousCommit == "off" {
		return Finding{Error, "synchronous_commit is off: when the server crashes, the events of about its last second are lost though they were acknowledged",
			"set synchronous_commit = on for this database and user"}
	}
	return Finding{OK, "synchronous_commit is " + f.synchronousCommit, ""}
}

func (f *facts) ofClock() Finding {
	what := fmt.Sprintf("the server's clock is %v from this machine's, give or take %v", f.distance.Round(time.Millisecond), f.doubt.Round(time.Microsecond))
	switch distance := f.distance.Abs() - f.doubt; {
	case distance > clockError:
		return Finding{Error, what, "run NTP on both: offsets and ages follow the server's clock"}
	case distance > clockWarning:
		return Finding{Warning, what, "run NTP on both: offsets and ages follow the server's clock"}
	}
	return Finding{OK, what, ""}
}

func (f *facts) ofConnections() Finding {
	what := fmt.Sprintf("%d of max_connections = %d are taken", f.connections, f.maxConnections)
	if float64(f.connections) > crowded*float64(f.maxConnections) {
		return Finding{Warning, what, "raise max_connections, or make the pools of the nodes smaller: a log needs three, and keeps one"}
	}
	return Finding{OK, what, ""}
}

func (f *facts) ofPooler() Finding {
	if f.pooled {
		return Finding{Warning, "a pooler stands between: events arrive up to Options.Poll later, since notifications don't pass",
			"nothing, or give the log a URL of the server's own"}
	}
	return Finding{OK, "no pooler between", ""}
}
