package migrate

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/buffkit/buffkit/migrate/source"
)

// State is what the ledger says of a migration.
type State string

// The states of a migration. The first three stand in the ledger.
const (
	Applied  State = "applied"
	Applying State = "applying" // begun, and not finished
	Undoing  State = "undoing"  // its down was begun, and not finished
	Pending  State = "pending"
	Skipped  State = "skipped" // not for this environment
	Changed  State = "changed" // repeatable, and to be run again
)

// Where a row of the ledger comes from. Other tools' ledgers have origins of their own.
const (
	originUp       = "up"
	originBaseline = "baseline"
	originRepair   = "repair"
)

// row is a migration in the ledger.
type row struct {
	ref        Ref
	name       string
	seq        int64 // rises in the order in which migrations were applied
	state      State
	checksum   string
	statements int
	at         string // RFC 3339
	took       time.Duration
	rows       int64
	origin     string
	runner     string
	hasDown    bool
	app        string    // the oldest version of the app that works with it; may be empty
	measured   Measured  // only for writing
	squashes   []Version // that it stands for; only for writing
	journal    []entry   // in the order of first
	noJournal  bool      // its table is gone
}

// entry is a block of an unfinished migration in the journal.
type entry struct {
	first, last int
	marks       string // of the block's statements
	state       entryState
	before      string // what the catalog said before it
	sql         string // its beginning
	took        time.Duration
	rows        int64
	err         string
}

type entryState string

const (
	intent entryState = "intent" // the server may have got it
	failed entryState = "failed" // the server refused it
	done   entryState = "done"
)

// done returns how many statements of an unfinished migration are done.
func (r *row) done() int {
	n := 0
	for _, e := range r.journal {
		if e.state == done && e.first == n+1 {
			n = e.last
		}
	}
	return n
}

// open returns the block behind the done ones, if the server may have got it.
func (r *row) open() *entry {
	n := r.done()
	for i, e := range r.journal {
		if e.first == n+1 && e.state != done {
			return &r.journal[i]
		}
	}
	return nil
}

// checkJournal finds what the runner never writes: block follows block, and only the last may be in doubt.
func (r *row) checkJournal() string {
	if r.noJournal {
		return "the journal's table is gone"
	}
	next := 1
	for i, e := range r.journal {
		switch {
		case e.first != next || e.last < e.first:
			return fmt.Sprintf("in its journal statements %s stand where statement %d should: somebody has changed it", span(e.first, e.last), next)
		case e.state != done && (e.state != intent && e.state != failed || i < len(r.journal)-1):
			return fmt.Sprintf("in its journal statement %d has the state %q: somebody has changed it", e.first, e.state)
		}
		next = e.last + 1
	}
	return ""
}

// book is the whole ledger.
type book struct {
	exists bool
	rows   []*row // in the order of seq
	byRef  map[Ref]*row
	within map[Ref]bool // by key, what squashes that are applied stand for; nil before ledger.readSquashed
}

// has tells whether a migration is applied, by itself or as a part of a squash.
func (b *book) has(ref Ref) bool {
	r := b.get(ref)
	return r != nil && r.state == Applied || b.within[key(ref)]
}

func (b *book) get(r Ref) *row { return b.byRef[key(r)] }

func (b *book) nextSeq() int64 {
	if len(b.rows) == 0 {
		return 1
	}
	return b.rows[len(b.rows)-1].seq + 1
}

// unfinished returns the migrations that were begun.
func (b *book) unfinished() (all []*row) {
	for _, r := range b.rows {
		if r.state != Applied {
			all = append(all, r)
		}
	}
	return all
}

// querier is a connection, or a pool.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// ledger is where the book is kept. The names are qualified, since a migration may change what the connection looks at.
type ledger struct {
	server
	schema         string
	plain          string // the table's name without schema
	table, journal string // quoted
	lease          string
	journalExists  bool
	appExists      bool // the column requires_app, which older ledgers don't have
}

// openLedger finds out where the tables are.
func (m *Migrator) openLedger(ctx context.Context, q querier) (*ledger, error) {
	schema, err := m.server.schema(ctx, q)
	if err != nil {
		return nil, err
	}
	l := &ledger{server: m.server, schema: schema, plain: m.opts.Table}
	quoted := func(name string) string {
		if schema == "" {
			return m.server.quote(name)
		}
		return m.server.quote(schema) + "." + m.server.quote(name)
	}
	l.table, l.journal, l.lease = quoted(l.plain), quoted(l.plain+"_journal"), quoted(l.plain+"_lock")
	return l, nil
}

// ledgerColumns are those of the table; another table of the name lacks some of them.
var ledgerColumns = []string{"source", "version", "name", "seq", "state", "checksum", "statements", "applied_at", "duration_us",
	"rows_affected", "origin", "runner", "down_sql", "timings"}

// What further columns hold.
const (
	maxChecksum = 80
	maxApp      = 64
)

// create makes the tables if they aren't there. It is called under the lock.
func (l *ledger) create(ctx context.Context, q querier) error {
	t := l.types()
	tables := []string{
		"CREATE TABLE IF NOT EXISTS " + l.table + " (\n" +
			"  source " + t.key(maxSourceName) + " NOT NULL,\n  version " + t.key(maxVersion) + " NOT NULL,\n" +
			"  name " + t.text(maxName) + " NOT NULL,\n  seq BIGINT NOT NULL,\n  state " + t.text(16) + " NOT NULL,\n" +
			"  checksum " + t.text(maxChecksum) + " NOT NULL,\n  statements INTEGER NOT NULL,\n  applied_at " + t.text(32) + " NOT NULL,\n" +
			"  duration_us BIGINT NOT NULL,\n  rows_affected BIGINT NOT NULL,\n  origin " + t.text(64) + " NOT NULL,\n" +
			"  runner " + t.text(255) + " NOT NULL,\n  down_sql " + t.long + " NULL,\n  timings " + t.long + " NULL,\n  requires_app " + t.text(maxApp) + " NULL,\n" +
			"  PRIMARY KEY (source, version)\n)" + t.options,
		"CREATE TABLE IF NOT EXISTS " + l.journal + " (\n" +
			"  source " + t.key(maxSourceName) + " NOT NULL,\n  version " + t.key(maxVersion) + " NOT NULL,\n" +
			"  first_no INTEGER NOT NULL,\n  last_no INTEGER NOT NULL,\n  marks " + t.text(64) + " NOT NULL,\n  state " + t.text(16) + " NOT NULL,\n" +
			"  before_it " + t.long + " NULL,\n  begins_with " + t.long + " NULL,\n  started_at " + t.text(32) + " NOT NULL,\n" +
			"  duration_us BIGINT NOT NULL,\n  rows_affected BIGINT NOT NULL,\n  error " + t.long + " NULL,\n" +
			"  PRIMARY KEY (source, version, first_no)\n)" + t.options,
	}
	for _, ddl := range tables {
		if _, err := q.ExecContext(ctx, ddl); err != nil {
			return fmt.Errorf("migrate: create the ledger %s: %w", l.table, advised(l.server, err))
		}
	}
	return l.addApp(ctx, q)
}

// addApp adds the column that a ledger of an older version lacks.
func (l *ledger) addApp(ctx context.Context, q querier) error {
	columns, err := l.columns(ctx, q, l.schema, l.plain)
	if err == nil && !slices.Contains(columns, "requires_app") {
		_, err = q.ExecContext(ctx, "ALTER TABLE "+l.table+" ADD COLUMN requires_app "+l.types().text(maxApp)+" NULL")
	}
	if err != nil {
		return fmt.Errorf("migrate: add requires_app to the ledger %s: %w", l.table, err)
	}
	l.appExists = true
	return nil
}

// columnTypes are how a database spells what the ledger needs.
type columnTypes struct {
	long    string
	options string
	key     func(n int) string // compared byte by byte
	text    func(n int) string
}

// find sees whether the tables are there, and are ours.
func (l *ledger) find(ctx context.Context, q querier) (exists bool, err error) {
	columns, err := l.columns(ctx, q, l.schema, l.plain)
	if err != nil {
		return false, fmt.Errorf("migrate: look for the ledger: %w", advised(l.server, err))
	}
	if len(columns) == 0 {
		return false, l.elsewhere(ctx, q)
	}
	for _, c := range ledgerColumns {
		if !slices.Contains(columns, c) {
			return false, fmt.Errorf("%w: there is a table %s without the column %s, so it isn't one of ours: give another name as Options.Table (--table)",
				ErrLedger, l.table, c)
		}
	}
	l.appExists = slices.Contains(columns, "requires_app")
	columns, err = l.columns(ctx, q, l.schema, l.plain+"_journal")
	if err != nil {
		return false, fmt.Errorf("migrate: look for the journal: %w", err)
	}
	l.journalExists = len(columns) > 0
	return true, nil
}

// elsewhere refuses to begin a ledger in a schema that has come before the one with the ledger: all would be applied again. A schema that is named as
// the user does so when it is made, and ALTER DATABASE … SET search_path.
func (l *ledger) elsewhere(ctx context.Context, q querier) error {
	schemas, err := l.others(ctx, q, l.plain)
	if err != nil {
		return fmt.Errorf("migrate: look for the ledger: %w", err)
	}
	for _, schema := range schemas {
		columns, err := l.columns(ctx, q, schema, l.plain)
		if err != nil {
			return fmt.Errorf("migrate: look for the ledger: %w", err)
		}
		if slices.ContainsFunc(ledgerColumns, func(c string) bool { return !slices.Contains(columns, c) }) {
			continue
		}
		there := l.quote(schema) + "." + l.quote(l.plain)
		return fmt.Errorf("%w: the current schema %s has none, but %s has one, which is further on in search_path. If that one is meant, let search_path begin with its"+
			" schema (search_path=… in the connection string); if this schema is to have its own: CREATE TABLE %[4]s (LIKE %[3]s INCLUDING ALL)",
			ErrLedger, l.quote(l.schema), there, l.table)
	}
	return nil
}

// read reads all rows but not their scripts.
func (l *ledger) read(ctx context.Context, q querier) (*book, error) {
	b := &book{byRef: map[Ref]*row{}}
	exists, err := l.find(ctx, q)
	if err != nil || !exists {
		return b, err
	}
	b.exists = true
	if err := l.readRows(ctx, q, b); err != nil {
		return nil, err
	}
	if len(b.unfinished()) > 0 {
		return b, l.readJournal(ctx, q, b)
	}
	return b, nil
}

func (l *ledger) readRows(ctx context.Context, q querier, b *book) error {
	app := "''"
	if l.appExists {
		app = "COALESCE(requires_app, '')"
	}
	rows, err := q.QueryContext(ctx, "SELECT source, version, name, seq, state, checksum, statements, applied_at, duration_us, rows_affected, origin, runner,"+
		" CASE WHEN down_sql IS NULL THEN 0 ELSE 1 END, "+app+" FROM "+l.table+" ORDER BY seq")
	if err != nil {
		return fmt.Errorf("migrate: read the ledger: %w", advised(l.server, err))
	}
	defer rows.Close()
	for rows.Next() {
		r := &row{}
		var took int64
		if err := rows.Scan(&r.ref.Source, &r.ref.Version, &r.name, &r.seq, &r.state, &r.checksum, &r.statements, &r.at, &took, &r.rows,
			&r.origin, &r.runner, &r.hasDown, &r.app); err != nil {
			return fmt.Errorf("migrate: read the ledger: %w", errors.Join(ErrLedger, err))
		}
		r.took = time.Duration(took) * time.Microsecond
		if err := b.add(r); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("migrate: read the ledger: %w", err)
	}
	return nil
}

// add refuses what the runner never writes: somebody else has.
func (b *book) add(r *row) error {
	if _, err := source.ParseVersion(string(r.ref.Version)); err != nil {
		return fmt.Errorf("%w: it has the version %q of the source %q: correct or delete that row", ErrLedger, r.ref.Version, r.ref.Source)
	}
	if other := b.get(r.ref); other != nil {
		return fmt.Errorf("%w: %s and %s are the same version: delete one of the rows", ErrLedger, other.ref, r.ref)
	}
	switch r.state {
	case Applied, Applying, Undoing:
	default:
		return fmt.Errorf("%w: %s has the state %q: write %q, %q or %q", ErrLedger, r.ref, r.state, Applied, Applying, Undoing)
	}
	b.rows = append(b.rows, r)
	b.byRef[key(r.ref)] = r
	return nil
}

// readSquashed reads what the squashes that were run stand for. Only their own files say so else, which another program may have.
func (l *ledger) readSquashed(ctx context.Context, q querier, b *book) error {
	b.within = map[Ref]bool{}
	if !b.exists {
		return nil
	}
	rows, err := q.QueryContext(ctx, "SELECT source, timings FROM "+l.table+" WHERE state = '"+string(Applied)+"' AND timings LIKE '{\"squashes\":%'")
	if err != nil {
		return fmt.Errorf("migrate: read the ledger: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			return fmt.Errorf("migrate: read the ledger: %w", err)
		}
		var t timingsOf
		if err := json.Unmarshal([]byte(text), &t); err != nil {
			return fmt.Errorf("%w: what it has as times of a squash of %s isn't JSON: %w", ErrLedger, name, err)
		}
		for _, v := range t.Squashes {
			b.within[key(Ref{Source: name, Version: v})] = true
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("migrate: read the ledger: %w", err)
	}
	return nil
}

func (l *ledger) readJournal(ctx context.Context, q querier, b *book) error {
	if !l.journalExists {
		for _, r := range b.unfinished() {
			r.noJournal = true
		}
		return nil
	}
	rows, err := q.QueryContext(ctx, "SELECT source, version, first_no, last_no, marks, state, COALESCE(before_it, ''), COALESCE(begins_with, ''),"+
		" duration_us, rows_affected, COALESCE(error, '') FROM "+l.journal+" ORDER BY source, version, first_no")
	if err != nil {
		return fmt.Errorf("migrate: read the journal: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var ref Ref
		var e entry
		var took int64
		if err := rows.Scan(&ref.Source, &ref.Version, &e.first, &e.last, &e.marks, &e.state, &e.before, &e.sql, &took, &e.rows, &e.err); err != nil {
			return fmt.Errorf("migrate: read the journal: %w", errors.Join(ErrLedger, err))
		}
		e.took = time.Duration(took) * time.Microsecond
		if r := b.get(ref); r != nil {
			r.journal = append(r.journal, e)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("migrate: read the journal: %w", err)
	}
	return nil
}

// down returns the script that was kept for a migration.
func (l *ledger) down(ctx context.Context, q querier, ref Ref) (text string, ok bool, err error) {
	var stored sql.NullString
	err = q.QueryRowContext(ctx, l.bind("SELECT down_sql FROM "+l.table+" WHERE source = ? AND version = ?"), ref.Source, string(ref.Version)).Scan(&stored)
	if err != nil {
		return "", false, fmt.Errorf("migrate: read the down script of %s: %w", ref, err)
	}
	return stored.String, stored.Valid, nil
}
