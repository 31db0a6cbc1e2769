package cli

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"net/url"
	"strings"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/pglog"
	"github.com/buffkit/buffkit/eventlog/sqlitelog"
	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
)

// place names the database, without what is secret.
func (t databaseTarget) place() string {
	switch t.dialect {
	case dialect.Postgres:
		if c, err := pgx.ParseConfig(t.dsn); err == nil {
			return fmt.Sprintf("postgres://%s:%d/%s", c.Host, c.Port, c.Database)
		}
	case dialect.MySQL, dialect.MariaDB:
		if c, err := mysql.ParseDSN(t.dsn); err == nil {
			return fmt.Sprintf("%s://%s/%s", t.dialect, c.Addr, c.DBName)
		}
	case dialect.SQLite:
		return "sqlite:" + t.file()
	}
	return t.dialect.String()
}

// file is that of a SQLite database.
func (t databaseTarget) file() string {
	name, _, _ := strings.Cut(strings.TrimPrefix(t.dsn, "file:"), "?")
	if plain, err := url.PathUnescape(name); err == nil {
		return plain
	}
	return name
}

// look looks for what loses data or stops migrations. It changes nothing.
func (t databaseTarget) look(ctx context.Context) ([]eventlog.Finding, error) {
	switch t.dialect {
	case dialect.Postgres:
		return pglog.CheckServer(ctx, t.dsn)
	case dialect.SQLite:
		return sqlitelog.CheckFile(ctx, t.file())
	}
	db, err := sql.Open(t.driver, t.dsn)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	return lookAtMySQL(ctx, db)
}

// mysqlFacts are what a MySQL or MariaDB says of itself.
type mysqlFacts struct {
	version, mode    string
	flush, sync      int
	binlog, readOnly bool
	clock            eventlog.Finding
}

func lookAtMySQL(ctx context.Context, db *sql.DB) ([]eventlog.Finding, error) {
	var f mysqlFacts
	if err := db.QueryRowContext(ctx, "SELECT version(), @@sql_mode, @@innodb_flush_log_at_trx_commit, @@sync_binlog, @@log_bin, @@global.read_only").
		Scan(&f.version, &f.mode, &f.flush, &f.sync, &f.binlog, &f.readOnly); err != nil {
		return nil, err
	}
	var seconds float64
	asked := time.Now()
	if err := db.QueryRowContext(ctx, "SELECT unix_timestamp(now(6))").Scan(&seconds); err != nil {
		return nil, err
	}
	f.clock = eventlog.CheckClock(time.UnixMicro(int64(math.Round(seconds*1e6))), asked, time.Now())
	return []eventlog.Finding{eventlog.FoundOK("version " + f.version), f.ofWrites(), f.ofCommit(), f.ofBinlog(), f.ofMode(), f.clock}, nil
}

func (f *mysqlFacts) ofWrites() eventlog.Finding {
	if f.readOnly {
		return eventlog.FoundError("read_only is on: nothing can be written", "connect to the primary")
	}
	return eventlog.FoundOK("the server takes writes")
}

func (f *mysqlFacts) ofCommit() eventlog.Finding {
	what := fmt.Sprintf("innodb_flush_log_at_trx_commit is %d", f.flush)
	const do = "set innodb_flush_log_at_trx_commit = 1"
	switch f.flush {
	case 0:
		return eventlog.FoundError(what+": when the server crashes, about the last second of what was committed is lost", do)
	case 1:
		return eventlog.FoundOK(what)
	}
	return eventlog.FoundWarning(what+": when the machine crashes, about the last second of what was committed is lost", do)
}

func (f *mysqlFacts) ofBinlog() eventlog.Finding {
	if f.binlog && f.sync != 1 {
		return eventlog.FoundWarning(fmt.Sprintf("sync_binlog is %d: when the machine crashes, replicas may have other data than this server", f.sync), "set sync_binlog = 1")
	}
	return eventlog.FoundOK("the binary log is off, or synced at each commit")
}

func (f *mysqlFacts) ofMode() eventlog.Finding {
	if !strings.Contains(f.mode, "STRICT_") {
		return eventlog.FoundWarning("sql_mode isn't strict: values that don't fit are cut silently", "add STRICT_TRANS_TABLES to sql_mode")
	}
	return eventlog.FoundOK("sql_mode is strict")
}
