package migrate

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
)

// Measured is what a migration did to others and to the disk.
type Measured struct {
	// LockWait is how long its statements were seen to wait for locks. It is looked at once a second, so short waits don't show.
	LockWait time.Duration `json:"lock_wait_ns,omitempty"`
	// Locks are those that its transaction held at its end, as in "AccessExclusiveLock on users". PostgreSQL with Options.Monitor.
	Locks []string `json:"locks,omitempty"`
	// Tables are the sizes of those that its statements name. Options.Monitor; SQLite tells that of the whole database alone.
	Tables []TableSize `json:"tables,omitempty"`
}

// TableSize is what a table takes on the disk with its indexes, in bytes; -1 where there is none. MySQL and MariaDB estimate it, some
// seconds late.
type TableSize struct {
	Table  string `json:"table"`
	Before int64  `json:"before"`
	After  int64  `json:"after"`
}

// Watch is how a statement that takes long is getting on.
type Watch struct {
	Step     *Step
	N        int // the statement, from 1
	Took     time.Duration
	Phase    string   // as the server calls it; "" if it doesn't tell
	Percent  float64  // of the phase; -1 if the server doesn't tell
	Blockers []string // who holds the locks that it waits for, a line each
}

// current is the statement that is on its way.
type current struct {
	step  *Step
	n     int
	begun time.Time
}

// observe looks at the statement from the lock's connection. It is called while the statement runs.
func (r *run) observe(ctx context.Context, since time.Duration) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookAfter)
	defer cancel()
	w := Watch{Step: r.current.step, N: r.current.n, Took: time.Since(r.current.begun), Percent: -1}
	_ = r.lock.use(func(q querier) (err error) {
		if w.Blockers, err = r.m.server.blockers(bounded, q, r.id); err != nil {
			return err
		}
		if len(w.Blockers) > 0 {
			r.blockers = w.Blockers
			r.waited += since
		}
		if r.m.opts.Hooks.Watching != nil {
			w.Phase, w.Percent, err = r.m.server.progress(bounded, q, r.id)
		}
		return err
	})
	if w.Step != nil && r.m.opts.Hooks.Watching != nil {
		r.m.opts.Hooks.Watching(w)
	}
}

// maxMeasured is how many tables of a migration are measured.
const maxMeasured = 50

// tablesOf names the tables that a statement is about, as far as its first words tell.
func tablesOf(st lexer.Statement, d dialect.Dialect) []object {
	p := phrase{tokens: head(st), dialect: d}
	var rest phrase
	ok := true
	switch {
	case p.has("insert", "into"), p.has("delete", "from"), p.has("alter", "table"), p.has("drop", "table"), p.has("create", "table"), p.has("replace", "into"):
		rest = p.from(2)
	case p.has("update"), p.has("truncate"):
		rest = p.from(1).skip("table")
	case p.has("create") && p.contains("index"):
		rest, ok = p.after("on")
	default:
		return nil
	}
	if !ok {
		return nil
	}
	o, _, ok := rest.skip("only").name("table")
	if !ok {
		return nil
	}
	return []object{o}
}

// measure notes the sizes of a step's tables, before it or behind it, and then also the locks. What can't be measured is left out.
func (a *attempt) measure(ctx context.Context, behind bool) {
	if !a.m.opts.Monitor || len(a.step.shape.tables) == 0 {
		return
	}
	bounded, cancel := own(ctx)
	defer cancel()
	for i, o := range a.step.shape.tables {
		name := quoted(o, a.m.server.quote)
		if a.m.dialect == dialect.SQLite {
			name = "main"
		}
		size, err := a.m.server.size(bounded, a.conn, name)
		if err != nil {
			a.m.log.DebugContext(ctx, "migrate: measure", "table", name, "err", err)
			return
		}
		if !behind {
			a.measured.Tables = append(a.measured.Tables, TableSize{Table: strings.Trim(name, "`\""), Before: size, After: -1})
		} else if i < len(a.measured.Tables) {
			a.measured.Tables[i].After = size
		}
	}
	if behind {
		a.measured.Locks, _ = a.m.server.locks(bounded, a.conn)
	}
}

// measureWithin measures behind the statements of a transaction. On PostgreSQL what can't be measured would end the transaction, but for a savepoint.
func (a *attempt) measureWithin(ctx context.Context) {
	if !a.m.opts.Monitor || a.m.dialect != dialect.Postgres {
		a.measure(ctx, true)
		return
	}
	bounded, cancel := own(ctx)
	defer cancel()
	if _, err := a.conn.ExecContext(bounded, "SAVEPOINT buffkit_measure"); err != nil {
		return
	}
	a.measure(ctx, true)
	if _, err := a.conn.ExecContext(bounded, "ROLLBACK TO SAVEPOINT buffkit_measure"); err != nil {
		a.m.log.WarnContext(ctx, "migrate: measure", "err", err)
	}
}

// timingsOf is what the ledger keeps of a migration's performance, in JSON, and of a squash what it stands for.
type timingsOf struct {
	Squashes   []Version       `json:"squashes,omitempty"` // first, as readSquashed looks for it
	Statements []StatementTime `json:"statements,omitempty"`
	Measured
}

// Stat is a migration and what it took.
type Stat struct {
	Ref  Ref           `json:"ref"`
	Name string        `json:"name"`
	At   string        `json:"at"`
	Took time.Duration `json:"took_ns"`
	Rows int64         `json:"rows"`
	// Statements are those that took longest, the longest first.
	Statements []StatementTime `json:"statements,omitempty"`
	Measured
}

// statStatements is how many statements of a migration Slowest shows.
const statStatements = 5

// Slowest returns the n migrations that took longest when they were applied, the longest first.
func (m *Migrator) Slowest(ctx context.Context, n int) (all []Stat, err error) {
	if n < 1 {
		return nil, fmt.Errorf("migrate: the slowest %d: ask for at least 1", n)
	}
	conn, err := m.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	l, err := m.openLedger(ctx, conn)
	if err != nil {
		return nil, err
	}
	err = m.patiently(ctx, func() error {
		exists, err := l.find(ctx, conn)
		if err == nil && exists {
			all, err = l.slowest(ctx, conn, n)
		}
		return err
	})
	return all, err
}

func (l *ledger) slowest(ctx context.Context, q querier, n int) (all []Stat, err error) {
	rows, err := q.QueryContext(ctx, fmt.Sprintf("SELECT source, version, name, applied_at, duration_us, rows_affected, timings FROM %s WHERE state = '%s'"+
		" ORDER BY duration_us DESC, seq LIMIT %d", l.table, Applied, n))
	if err != nil {
		return nil, fmt.Errorf("migrate: read the ledger: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var s Stat
		var took int64
		var text sql.NullString
		if err := rows.Scan(&s.Ref.Source, &s.Ref.Version, &s.Name, &s.At, &took, &s.Rows, &text); err != nil {
			return nil, fmt.Errorf("migrate: read the ledger: %w", err)
		}
		s.Took = time.Duration(took) * time.Microsecond
		var t timingsOf
		if text.Valid && json.Unmarshal([]byte(text.String), &t) == nil {
			s.Statements, s.Measured = longest(t.Statements, statStatements), t.Measured
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("migrate: read the ledger: %w", err)
	}
	return all, nil
}
