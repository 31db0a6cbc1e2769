package migratetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/schema"
)

// Faults applies the migrations again and again, each time to a new database, and each time the connection is lost at another one of the statements that the
// runner sends, its own included: once before the server got it, once behind it with its answer lost. Then Up is called once more
// on an undisturbed connection. It must finish, and leave the schema and the numbers of rows that a run without faults leaves.
//
// open returns a new, empty database each time; it is closed here. A database of SQLite must be a file, since one in memory
// ends with its connection. As many databases are opened as two times the statements there are; with a server that means some seconds.
func Faults(ctx context.Context, open func() (*sql.DB, error), d dialect.Dialect, o Options) error {
	if o.Migrate.Logger == nil {
		o.Migrate.Logger = slog.New(slog.DiscardHandler) // it would tell each fault
	}
	f := faults{open: open, d: d, Options: o}
	want, err := f.run(ctx, 0, false)
	if err != nil {
		return fmt.Errorf("migratetest: without a fault: %w", err)
	}
	var found []error
	for _, behind := range []bool{false, true} {
		for n := 1; ; n++ {
			got, err := f.run(ctx, n, behind)
			if ctx.Err() != nil {
				return errors.Join(append(found, ctx.Err())...)
			}
			where := fmt.Sprintf("the connection lost before statement %d, %s", n, f.last)
			if behind {
				where = fmt.Sprintf("the answer of statement %d lost, %s", n, f.last)
			}
			switch {
			case !f.fired && err != nil: // it never came to the fault
				found = append(found, fmt.Errorf("migratetest: on the way to statement %d: %w", n, err))
			case !f.fired:
			case err != nil:
				found = append(found, fmt.Errorf("migratetest: %s: %w", where, err))
			default:
				found = append(found, want.compare(where, got))
			}
			if !f.fired {
				break
			}
		}
	}
	return errors.Join(found...)
}

type faults struct {
	Options
	open  func() (*sql.DB, error)
	d     dialect.Dialect
	fired bool
	last  string // the statement that it was
}

// outcome is what a run leaves.
type outcome struct {
	schema *schema.Schema
	rows   map[string]int64
}

func (o *outcome) compare(where string, got *outcome) error {
	if diff := schema.Diff(o.schema, got.schema); diff != "" {
		return fmt.Errorf("migratetest: %s: the schema isn't what it should be (- should, + is):\n%s", where, diff)
	}
	if !maps.Equal(o.rows, got.rows) {
		return fmt.Errorf("migratetest: %s: the tables have %v rows, and should have %v", where, got.rows, o.rows)
	}
	return nil
}

// run applies the migrations with a fault at statement n, and then without; n = 0 is no fault.
func (f *faults) run(ctx context.Context, n int, behind bool) (out *outcome, err error) {
	f.fired, f.last = false, ""
	db, err := f.open()
	if err != nil {
		return nil, fmt.Errorf("open a database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	cut := &cutter{db: db, at: int64(n), behind: behind}
	if n > 0 {
		faulty := sql.OpenDB(cut)
		err := f.up(ctx, faulty)
		f.fired, f.last = cut.fired()
		if err := faulty.Close(); err != nil {
			return nil, err
		}
		if !f.fired {
			return nil, err
		}
		f.expire(ctx, db)
	}
	if err := f.up(ctx, db); err != nil {
		return nil, fmt.Errorf("the next Up doesn't finish: %w", err)
	}
	return f.look(ctx, db)
}

func (f *faults) up(ctx context.Context, db *sql.DB) error {
	m, err := migrate.New(db, f.d, &f.Migrate)
	if err != nil {
		return err
	}
	_, err = m.Up(ctx)
	return err
}

// expire ends the lease of the runner that is gone, as half a minute would. Where there is none it does nothing.
func (f *faults) expire(ctx context.Context, db *sql.DB) {
	if f.d != dialect.SQLite && f.Migrate.Lock != migrate.LeaseLock {
		return
	}
	table := f.Migrate.Table
	if table == "" {
		table = migrate.DefaultTable
	}
	_, _ = db.ExecContext(ctx, "DELETE FROM "+table+"_lock")
}

func (f *faults) look(ctx context.Context, db *sql.DB) (*outcome, error) {
	m, err := migrate.New(db, f.d, &f.Migrate)
	if err != nil {
		return nil, err
	}
	s, err := m.Schema(ctx)
	if err != nil {
		return nil, err
	}
	out := &outcome{schema: s, rows: map[string]int64{}}
	for _, o := range s.Objects {
		if o.Kind != "table" {
			continue
		}
		name := o.Name // PostgreSQL's is quoted where it has to be
		switch f.d {
		case dialect.SQLite:
			name = `"` + name + `"`
		case dialect.MySQL, dialect.MariaDB:
			name = "`" + name + "`"
		}
		var n int64
		if err := db.QueryRowContext(ctx, "SELECT count(*) FROM "+name).Scan(&n); err != nil {
			return nil, fmt.Errorf("count the rows of %s: %w", o.Name, err)
		}
		out.rows[o.Name] = n
	}
	return out, nil
}
