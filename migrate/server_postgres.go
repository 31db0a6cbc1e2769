package migrate

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

type postgres struct {
	lockTimeout time.Duration
	leased      bool // perhaps behind a pooler: what a session is set to would be other clients' as well
}

func (*postgres) quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func (*postgres) bind(query string) string {
	var b strings.Builder
	n, name := 0, false // within a quoted one
	for _, c := range []byte(query) {
		name = name != (c == '"')
		if c != '?' || name {
			b.WriteByte(c)
			continue
		}
		n++
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}

func (*postgres) types() columnTypes {
	varchar := func(n int) string { return fmt.Sprintf("varchar(%d)", n) }
	return columnTypes{long: "text", text: varchar, key: func(n int) string { return varchar(n) + ` COLLATE "C"` }}
}

func (*postgres) rollsBackDDL() bool { return true }

func (p *postgres) begin() string {
	if p.leased && p.lockTimeout > 0 {
		return fmt.Sprintf("BEGIN; SET LOCAL lock_timeout = %d", p.lockTimeout.Milliseconds())
	}
	return "BEGIN"
}

func (*postgres) cancels() bool { return true }

func (*postgres) clock() string { return "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint" }

func (*postgres) schema(ctx context.Context, q querier) (string, error) {
	var name sql.NullString
	if err := q.QueryRowContext(ctx, "SELECT current_schema()").Scan(&name); err != nil {
		return "", fmt.Errorf("migrate: ask for the schema: %w", err)
	}
	if !name.Valid {
		return "", errors.New("migrate: the connection's search_path names no schema that exists: create it, or set search_path in the connection string")
	}
	return name.String, nil
}

func (*postgres) columns(ctx context.Context, q querier, schema, table string) ([]string, error) {
	return texts(ctx, q, "SELECT a.attname FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid"+
		" JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped",
		schema, table)
}

func (*postgres) others(ctx context.Context, q querier, table string) ([]string, error) {
	return texts(ctx, q, "SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"+
		" WHERE c.relname = $1 AND n.nspname = ANY (current_schemas(false)) AND n.nspname <> current_schema() ORDER BY array_position(current_schemas(false), n.nspname)", table)
}

// texts reads a column of text.
func texts(ctx context.Context, q querier, query string, args ...any) (all []string, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s sql.NullString
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		all = append(all, s.String)
	}
	return all, rows.Err()
}

func (*postgres) loose(context.Context, querier, string) ([]string, error) { return nil, nil }

func (*postgres) prepare(context.Context, querier) (string, error) { return "", nil }

// open names the connection in pg_stat_activity, bounds its waits for locks, and has the server notice within a second when the runner is gone.
func (p *postgres) open(ctx context.Context, q querier, runner string) (id int64, err error) {
	if p.leased {
		return 0, nil
	}
	const name = "SELECT set_config('application_name', $1, false), pg_backend_pid()"
	var ignored string
	if err := q.QueryRowContext(ctx, name, limit("buffkit migrate "+runner, 63)).Scan(&ignored, &id); err != nil {
		return 0, err
	}
	// PostgreSQL 14 and later, and only on systems that can.
	_, _ = q.ExecContext(ctx, "SET client_connection_check_interval = '1s'")
	return id, p.waitForLocks(ctx, q, false)
}

func (*postgres) reset() string { return "RESET ALL" }

func limit(text string, n int) string {
	if len(text) > n {
		return text[:n]
	}
	return text
}

func (p *postgres) waitForLocks(ctx context.Context, q querier, forever bool) error {
	timeout := p.lockTimeout.Milliseconds()
	switch {
	case p.leased:
		return nil
	case forever:
		timeout = 0
	case p.lockTimeout < 0:
		_, err := q.ExecContext(ctx, "RESET lock_timeout")
		return err
	}
	_, err := q.ExecContext(ctx, "SET lock_timeout = "+strconv.FormatInt(timeout, 10))
	return err
}

func (*postgres) cancel(ctx context.Context, q querier, id int64) error {
	_, err := q.ExecContext(ctx, "SELECT pg_cancel_backend($1)", id)
	return err
}

func (*postgres) blockers(ctx context.Context, q querier, id int64) ([]string, error) {
	return texts(ctx, q, "SELECT 'connection ' || pid || COALESCE(' of ' || usename, '') || COALESCE('@' || host(client_addr), '') ||"+
		" CASE WHEN application_name <> '' THEN ' (' || application_name || ')' ELSE '' END || ', ' || COALESCE(state, 'unknown') ||"+
		" ' since ' || date_trunc('second', clock_timestamp() - COALESCE(state_change, backend_start)) || ': ' || left(regexp_replace(query, '\\s+', ' ', 'g'), 120)"+
		" FROM pg_catalog.pg_stat_activity WHERE pid = ANY (pg_blocking_pids($1))", id)
}

// number makes a key of a lock's name.
func (n lockName) number() int64 {
	sum := sha256.Sum256([]byte("buffkit migrate\x00" + n.ledger + "\x00" + n.part))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

func (*postgres) tryLock(ctx context.Context, q querier, name lockName) (ok bool, err error) {
	err = q.QueryRowContext(ctx, "SELECT pg_try_advisory_lock($1)", name.number()).Scan(&ok)
	return ok, err
}

func (*postgres) unlock(ctx context.Context, q querier, name lockName) error {
	var ok bool
	err := q.QueryRowContext(ctx, "SELECT pg_advisory_unlock($1)", name.number()).Scan(&ok)
	if err == nil && !ok {
		return fmt.Errorf("%w: the connection didn't hold it; behind a pooler in transaction mode use Options.Lock: LeaseLock (--lock lease)", ErrLockLost)
	}
	return err
}

func (*postgres) holder(ctx context.Context, q querier, name lockName) (*Holder, error) {
	n := uint64(name.number())
	var h Holder
	var age, running float64
	var state string
	err := q.QueryRowContext(ctx, "SELECT a.pid::text, COALESCE(a.usename, '') || COALESCE('@' || host(a.client_addr), ''), a.application_name,"+
		" COALESCE(extract(epoch FROM clock_timestamp() - a.backend_start), 0)::float8,"+
		" COALESCE(extract(epoch FROM clock_timestamp() - a.query_start), 0)::float8, COALESCE(a.state, ''), COALESCE(left(regexp_replace(a.query, '\\s+', ' ', 'g'), 200), '')"+
		" FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"+
		" AND l.classid = $1::bigint::oid AND l.objid = $2::bigint::oid AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())",
		int64(n>>32), int64(n&0xffffffff)).Scan(&h.Session, &h.Who, &h.Runner, &age, &running, &state, &h.Statement)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	h.Runner = strings.TrimPrefix(h.Runner, "buffkit migrate ")
	h.For = time.Duration(age * float64(time.Second))
	if state != "active" {
		h.Statement = ""
	}
	if h.Statement != "" {
		h.Running = time.Duration(running * float64(time.Second))
	}
	return &h, err
}

// probe looks at what a statement outside of transactions can change. An index is as its definition is, and whether it's valid.
func (*postgres) probe(ctx context.Context, q querier, objects []object) (string, error) {
	var text strings.Builder
	for _, o := range objects {
		var query string
		switch o.Kind {
		case "index":
			query = "SELECT CASE WHEN i.indisvalid AND i.indisready THEN 'valid ' ELSE 'invalid ' END || pg_get_indexdef(i.indexrelid)" +
				" FROM pg_catalog.pg_index i WHERE i.indexrelid = to_regclass($1)"
		case "database":
			query = "SELECT oid::text FROM pg_catalog.pg_database WHERE datname = $1"
		case "tablespace":
			query = "SELECT oid::text FROM pg_catalog.pg_tablespace WHERE spcname = $1"
		default:
			return "", fmt.Errorf("migrate: no probe for %s", o.Kind)
		}
		name := o.Name
		if o.Kind == "index" {
			name = quoted(o, (&postgres{}).quote)
		}
		found, err := texts(ctx, q, query, name)
		if err != nil {
			return "", err
		}
		text.WriteString(probed(o, found))
	}
	return text.String(), nil
}

// probed is a line of a probe's text.
func probed(o object, found []string) string {
	if len(found) == 0 {
		return o.Kind + " " + o.Name + ": absent\n"
	}
	return o.Kind + " " + o.Name + ": " + strings.Join(found, " ") + "\n"
}

func quoted(o object, quote func(string) string) string {
	if o.Schema == "" {
		return quote(o.Name)
	}
	return quote(o.Schema) + "." + quote(o.Name)
}

// The codes are in appendix A of PostgreSQL's manual.
func (*postgres) judge(err error) fault {
	f := fault{position: number(err, "Position")}
	switch state := sqlState(err); {
	case state == "55P03", state == "40P01", state == "40001": // lock_not_available, deadlock_detected, serialization_failure
		f.busy = true
	case state == "42501":
		f.hint = "the database user may not do this: give it the right, or run with another user; behind SET ROLE a migration needs RESET ROLE at its end"
	case state == "25001": // active_sql_transaction: what isn't known here to refuse a transaction
		f.hint = noTxHint
	case state == "53100":
		f.hint = "the server's disk is full: make room and run it again"
	case state == "25006":
		f.hint = "the server, or the user, is read-only: run on the primary, with a user that may write"
	}
	return f
}

func (*postgres) hopeless(err error) bool {
	state := sqlState(err)
	return strings.HasPrefix(state, "28") || strings.HasPrefix(state, "3D") // authorization, no such database
}

// progress asks what the server tells of indexes, of CLUSTER and VACUUM FULL, and of VACUUM.
func (*postgres) progress(ctx context.Context, q querier, id int64) (phase string, percent float64, err error) {
	err = q.QueryRowContext(ctx, `SELECT phase, CASE WHEN total > 0 THEN 100.0 * done / total ELSE -1 END::float8 FROM (
			SELECT pid, phase, CASE WHEN tuples_total > 0 THEN tuples_done ELSE blocks_done END, CASE WHEN tuples_total > 0 THEN tuples_total ELSE blocks_total END FROM pg_stat_progress_create_index
			UNION ALL SELECT pid, phase, heap_blks_scanned, heap_blks_total FROM pg_stat_progress_cluster
			UNION ALL SELECT pid, phase, heap_blks_scanned, heap_blks_total FROM pg_stat_progress_vacuum) p (pid, phase, done, total) WHERE pid = $1`, id).Scan(&phase, &percent)
	if errors.Is(err, sql.ErrNoRows) {
		return "", -1, nil
	}
	return phase, percent, err
}

func (*postgres) size(ctx context.Context, q querier, name string) (bytes int64, err error) {
	err = q.QueryRowContext(ctx, "SELECT COALESCE(pg_total_relation_size(to_regclass($1)), -1)", name).Scan(&bytes)
	return bytes, err
}

func (*postgres) locks(ctx context.Context, q querier) ([]string, error) {
	return texts(ctx, q, `SELECT mode || ' on ' || c.oid::regclass FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation
		WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.granted AND c.relkind IN ('r', 'p', 'm', 'v') AND c.relnamespace <> 'pg_catalog'::regnamespace
		AND l.mode <> 'AccessShareLock' ORDER BY 1 LIMIT 100`)
}
