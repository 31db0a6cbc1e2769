package adopt

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/source"
)

// History is what a tool's ledger says.
type History struct {
	Tool    Tool
	Table   string
	Applied []migrate.Adopted // in the order in which they were applied, as far as the ledger knows it
	// Notes are what the ledger can't know, and you should look at.
	Notes []string

	again func(ctx context.Context, db migrate.DB) ([]migrate.Adopted, error)
}

// Adoption is what Migrator.Adopt takes, which reads the ledger once more. The source is that of the Dir, "" for the first one.
func (h *History) Adoption(source string) migrate.Adoption {
	return migrate.Adoption{Source: source, Origin: string(h.Tool), Applied: h.Applied, Again: h.again, Tables: h.tables()}
}

// tables are the ledger and what the tool keeps beside it.
func (h *History) tables() []string {
	all := []string{h.Table}
	var locks string
	switch h.Tool {
	case Goose:
		locks = "goose_lock" // where its lock is a table
	case Bun:
		locks = bunLocks
	default:
		return all
	}
	all = append(all, locks)
	if schema, _, qualified := strings.Cut(h.Table, "."); qualified {
		all = append(all, schema+"."+locks)
	}
	return all
}

// Unadopted refuses to run again what the tool itself has applied, by its ledger where it keeps that by default. It makes a Dir a
// migrate.Foreign, which only an up of the runner asks.
func (d *Dir) Unadopted(ctx context.Context, db migrate.DB, has func(migrate.Version) bool) (*migrate.Problem, error) {
	h, err := d.History(ctx, db, nil)
	if errors.Is(err, ErrNoLedger) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	n := 0
	for _, a := range h.Applied {
		if has(a.Version) {
			n++
		}
	}
	if n == 0 {
		return nil, nil
	}
	return &migrate.Problem{Err: migrate.ErrUnadopted,
		Msg: fmt.Sprintf("%s has applied %d of these migrations, by its ledger %s, and they would run again, since ours knows none of them", d.tool, n, h.Table),
		Hint: fmt.Sprintf("adopt first: buffkit migrate adopt --from %s --dir …, or Migrator.Adopt in a program;"+
			" if they were adopted once and undone since, that ledger isn't true any more: drop the table %s", d.tool, h.Table)}, nil
}

// History reads the tool's ledger. It fails with what to do first if the tool was stopped in the middle: golang-migrate's dirty version, a lock that
// bun has left. What it says holds for as long as nobody runs the tool.
func (d *Dir) History(ctx context.Context, db migrate.DB, opts *Options) (*History, error) {
	t, err := look(ctx, db, d.dialect, opts.table(d.tool))
	switch {
	case err != nil:
		return nil, err
	case len(t.columns) == 0:
		return nil, fmt.Errorf("%w of %s: there is no table %s in the current schema: is it the right database? If the tool was told another table, give that (--ledger);"+
			" if it kept none, use baseline", ErrNoLedger, d.tool, t.name)
	case !slices.Contains(t.shape(), d.tool):
		return nil, fmt.Errorf("%w of %s: the table %s doesn't look like one%s", ErrNoLedger, d.tool, t.name, insteadOf(t))
	}
	r := &reader{ctx: ctx, db: db, dir: d, table: t, history: &History{Tool: d.tool, Table: t.name}}
	if err := r.read(); err != nil {
		return nil, err
	}
	r.history.again = func(ctx context.Context, db migrate.DB) ([]migrate.Adopted, error) {
		h, err := d.History(ctx, db, &Options{Table: t.name})
		if err != nil {
			return nil, err
		}
		return h.Applied, nil
	}
	return r.history, nil
}

func insteadOf(t *table) string {
	if t.has("version_self") {
		return ", but like popx's, which isn't known here: use baseline"
	}
	if other := t.shape(); len(other) > 0 {
		return ", but like one of " + list(other, "or") + " (--from)"
	}
	return ": give the right one (--ledger)"
}

// reader reads one ledger.
type reader struct {
	ctx     context.Context
	db      migrate.DB
	dir     *Dir
	table   *table
	history *History
}

func (r *reader) read() error {
	switch r.dir.tool {
	case Goose:
		return r.goose()
	case GolangMigrate:
		return r.golangMigrate()
	case Tern:
		return r.tern()
	case SQLMigrate:
		return r.sqlMigrate()
	case Bun:
		return r.bun()
	}
	return r.versions()
}

// each calls f for the rows of the table.
func (r *reader) each(columns, order string, f func(rows *sql.Rows) error) error {
	query := "SELECT " + columns + " FROM " + r.table.quoted
	if order != "" {
		query += " ORDER BY " + order
	}
	rows, err := r.db.QueryContext(r.ctx, query)
	if err != nil {
		return fmt.Errorf("adopt: read %s: %w", r.table.name, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return fmt.Errorf("adopt: read %s: %w", r.table.name, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("adopt: read %s: %w", r.table.name, err)
	}
	return nil
}

func (r *reader) add(v source.Version, at time.Time) {
	r.history.Applied = append(r.history.Applied, migrate.Adopted{Version: v, At: at})
}

func (r *reader) note(format string, args ...any) {
	r.history.Notes = append(r.history.Notes, fmt.Sprintf(format, args...))
}

// goose writes a row at each up, and at each down deletes it or, in old versions, writes another one: the newest row of a version counts. Version 0
// is there from the beginning.
func (r *reader) goose() error {
	type state struct {
		at      time.Time
		applied bool
		seen    int
	}
	newest := map[source.Version]*state{}
	n := 0
	err := r.each("version_id, is_applied, tstamp", "id", func(rows *sql.Rows) error {
		var v int64
		var applied bool
		var at any
		if err := rows.Scan(&v, &applied, &at); err != nil {
			return err
		}
		n++
		newest[source.Version(fmt.Sprint(v))] = &state{moment(at), applied, n}
		return nil
	})
	var all []source.Version
	for v, s := range newest {
		if s.applied && v != "0" {
			all = append(all, v)
		}
	}
	slices.SortFunc(all, func(a, b source.Version) int { return newest[a].seen - newest[b].seen })
	for _, v := range all {
		r.add(v, newest[v].at)
	}
	return err
}

// upTo takes every file up to a version for applied, since that is all that the ledger says.
func (r *reader) upTo(top source.Version) error {
	known := false
	for _, v := range r.dir.versions() {
		if v.Compare(top) <= 0 {
			r.add(v, time.Time{})
			known = known || v.Compare(top) == 0
		}
	}
	if !known {
		return fmt.Errorf("adopt: %s is at version %s, and the folder has no file of it: bring the file, since without it nobody knows which others are applied",
			r.table.name, top)
	}
	return nil
}

func (r *reader) golangMigrate() error {
	var versions []source.Version
	err := r.each("version, dirty", "", func(rows *sql.Rows) error {
		var v int64
		var dirty bool
		if err := rows.Scan(&v, &dirty); err != nil {
			return err
		}
		if dirty {
			return dirtyError(v)
		}
		if v >= 0 { // -1 stands for none
			versions = append(versions, source.Version(fmt.Sprint(v)))
		}
		return nil
	})
	switch {
	case err != nil || len(versions) == 0:
		return err
	case len(versions) > 1:
		return fmt.Errorf("adopt: %s has %d rows where golang-migrate keeps one: is it its table?", r.table.name, len(versions))
	}
	r.note("golang-migrate only knows that it is at version %s. A file with a lower version that came later was passed over by it, silently: all are taken for applied here",
		versions[0])
	return r.upTo(versions[0])
}

func dirtyError(v int64) error {
	return fmt.Errorf("version %d is dirty: golang-migrate failed or was killed in it. Look which of its statements took effect. Do the rest by hand, then: migrate force %[1]d;"+
		" or undo them by hand, then migrate force to the version before it (-1 for none). Then adopt again", v)
}

func (r *reader) tern() error {
	top := int64(-1)
	err := r.each("version", "", func(rows *sql.Rows) error { return rows.Scan(&top) })
	if err != nil || top <= 0 {
		return err
	}
	return r.upTo(source.Version(fmt.Sprint(top)))
}

// sqlMigrate keeps the names of files.
func (r *reader) sqlMigrate() error {
	ids := map[string]string{} // by number
	return r.each("id, applied_at", "applied_at, id", func(rows *sql.Rows) error {
		var id string
		var at any
		if err := rows.Scan(&id, &at); err != nil {
			return err
		}
		match := leading.FindStringSubmatch(id)
		if match == nil {
			return fmt.Errorf("the id %q has no number at its beginning, which a version needs: rename it there and its file, as in 0001-%[1]s", id)
		}
		number := strings.TrimLeft(match[1], "0")
		if other, twice := ids[number]; twice {
			return fmt.Errorf("the ids %q and %q have one number, which sql-migrate allows and a version can't be: give one of them another number, there and in the name of its file",
				other, id)
		}
		ids[number] = id
		r.add(source.Version(match[1]), moment(at))
		return nil
	})
}

// bun writes a row before the migration runs, unless the app asked for it afterwards.
func (r *reader) bun() error {
	last, group := int64(0), 0
	err := r.each("name, group_id, migrated_at", "id", func(rows *sql.Rows) error {
		var name string
		var id int64
		var at any
		if err := rows.Scan(&name, &id, &at); err != nil {
			return err
		}
		v, err := source.ParseVersion(name)
		if err != nil {
			return fmt.Errorf("the name %q is no number", name)
		}
		if id != last {
			last, group = id, 0
		}
		group++
		r.add(v, moment(at))
		return nil
	})
	if err != nil {
		return err
	}
	if len(r.history.Applied) == 0 {
		return r.bunLocks()
	}
	r.note("bun writes its row before a migration runs, so one that failed looks applied: look whether the last group (%d) is whole in the database", last)
	if group > 1 {
		r.note("bun's rollback undoes a group, which is the last %d migrations: here that is down %[1]d", group)
	}
	return r.bunLocks()
}

// bunLocks looks for bun's lock where it is by default, and beside the ledger, where that is in another schema.
func (r *reader) bunLocks() error {
	schema, plain, qualified := strings.Cut(r.table.name, ".")
	if err := r.bunLock(bunLocks, r.table.name); err != nil || !qualified {
		return err
	}
	return r.bunLock(schema+"."+bunLocks, r.table.name, plain)
}

const bunLocks = "bun_migration_locks"

// bunLock looks in one table of locks for that of a ledger, under the names that the ledger may have there.
func (r *reader) bunLock(table string, names ...string) error {
	t, err := look(r.ctx, r.db, r.dir.dialect, table)
	if err != nil || len(t.columns) == 0 {
		return err
	}
	locks := &reader{ctx: r.ctx, db: r.db, dir: r.dir, table: t}
	return locks.each("table_name", "", func(rows *sql.Rows) error {
		var held string
		if err := rows.Scan(&held); err != nil || !slices.Contains(names, held) {
			return err
		}
		return fmt.Errorf("bun holds its lock: wait for the program that migrates, or, if it died, look what it left, then: DELETE FROM %s", t.name)
	})
}

// versions is the ledger of dbmate and of pop: text, in no order.
func (r *reader) versions() error {
	var all []source.Version
	err := r.each("version", "", func(rows *sql.Rows) error {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		v, err := source.ParseVersion(strings.TrimSpace(text))
		if err != nil {
			return fmt.Errorf("the version %q is no number", text)
		}
		all = append(all, v)
		return nil
	})
	slices.SortFunc(all, source.Version.Compare)
	for _, v := range all {
		r.add(v, time.Time{})
	}
	return err
}

// moment reads a time as some driver gives it; zero if that isn't known.
func moment(v any) time.Time {
	var text string
	switch v := v.(type) {
	case time.Time:
		return v
	case []byte:
		text = string(v)
	case string:
		text = v
	case int64:
		return time.Unix(v, 0)
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999-07:00",
		"2006-01-02 15:04:05.999999999 -0700 MST", "2006-01-02 15:04:05.999999999"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at
		}
	}
	return time.Time{}
}
