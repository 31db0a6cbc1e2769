package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// atomic runs a step as one transaction, together with its row in the ledger.
func (a *attempt) atomic(ctx context.Context) (err error) {
	if a.step.shape.fkOff {
		restore, err := a.foreignKeysOff(ctx)
		if err != nil {
			return a.fail(LeftNothing, err)
		}
		defer restore()
	}
	a.measure(ctx, false)
	if err := a.begin(ctx); err != nil {
		return a.fail(LeftNothing, err)
	}
	if err := a.body(ctx); err != nil {
		a.rollback(ctx)
		return a.fail(LeftNothing, err)
	}
	if err := a.commit(ctx); err != nil {
		return a.committed(ctx, err)
	}
	if a.step.Direction == Up {
		a.seq++
	}
	return nil
}

func (a *attempt) body(ctx context.Context) error {
	before, err := a.violations(ctx)
	if err != nil {
		return err
	}
	if err := a.statements(ctx); err != nil {
		return err
	}
	a.measureWithin(ctx)
	if err := a.checkReferences(ctx, before); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return ended(ctx) // stopped behind the last statement: not committed
	}
	bounded, cancel := a.own(ctx)
	defer cancel()
	return a.record(bounded)
}

// statements sends all of them.
func (a *attempt) statements(ctx context.Context) error {
	if a.step.script.code != nil {
		return a.call(ctx)
	}
	n := 0
	for st, err := range a.step.script.statements() {
		if err != nil {
			return err
		}
		n++
		if err := a.step.unchanged(n, st.SQL); err != nil {
			return err
		}
		if !a.step.shape.sent(n - 1) {
			continue
		}
		if err := a.send(ctx, n, st); err != nil {
			return err
		}
	}
	return a.step.whole(n)
}

// unchanged compares a statement with the one of the plan.
func (s *Step) unchanged(n int, sql string) error {
	if n > s.shape.n() || s.shape.marks[n-1] != markOf(sql) {
		return fmt.Errorf("%w: statement %d of %s isn't the one of the plan", ErrChanged, n, s.Path)
	}
	return nil
}

func (s *Step) whole(n int) error {
	if n != s.shape.n() {
		return fmt.Errorf("%w: %s ends behind statement %d of %d", ErrChanged, s.Path, n, s.shape.n())
	}
	return nil
}

// record writes what an atomic step is to the ledger.
func (a *attempt) record(ctx context.Context) error {
	unfinished := a.step.row != nil && a.step.row.state != Applied
	if a.step.Direction == Down {
		state := Applied
		if unfinished {
			state = Undoing
		}
		return a.l.remove(ctx, a.conn, a.step.row.ref, state)
	}
	row, down, err := a.row()
	if err != nil {
		return err
	}
	switch {
	case unfinished:
		return a.l.finish(ctx, a.conn, row, down, a.times)
	case a.step.row != nil: // again
		return a.l.complete(ctx, a.conn, row, Applied, down, a.times)
	}
	return a.insert(ctx, row, down)
}

// insert writes the row. In SQLite the same statement looks at the lease.
func (a *attempt) insert(ctx context.Context, row *row, down string) (err error) {
	lease := a.lock.lease
	if lease != nil && !a.m.server.cancels() {
		if a.looked, err = a.l.insertLeased(ctx, a.conn, lease, row, down, a.times); a.looked || err != nil {
			return err
		}
		if err := lease.renew(ctx, a.conn); err != nil {
			return err
		}
	}
	return a.l.insert(ctx, a.conn, row, down, a.times)
}

// settle reads the ledger behind a COMMIT that returned an error. The new connection gets the lock for the work only when the old one has
// ended in the server.
func (r *run) settle(ctx context.Context) (*book, error) {
	bounded, cancel := own(ctx)
	defer cancel()
	if !r.m.server.cancels() || r.alive(bounded) {
		r.rollback(bounded)
		return r.m.read(bounded, r.l, r.conn)
	}
	if r.pooled() {
		return nil, errPooled
	}
	if err := r.connect(bounded); err != nil {
		return nil, err
	}
	return r.m.read(bounded, r.l, r.conn)
}

var errPooled = errors.New("behind a pooler nobody can tell whether the old connection has ended")

// committed finds out what became of a COMMIT that returned an error.
func (a *attempt) committed(ctx context.Context, cause error) error {
	var c *commitError
	if !errors.As(cause, &c) { // it wasn't sent, or SQLite says that it is still open
		a.rollback(ctx)
		return a.fail(LeftNothing, cause)
	}
	b, err := a.settle(ctx)
	if err != nil {
		return a.fail(LeftUnclear, errors.Join(cause, err))
	}
	r := b.get(a.step.Ref)
	there := r != nil && r.state == Applied && (!a.step.again || r.at != a.step.row.at)
	if there != (a.step.Direction == Up) {
		return a.fail(LeftNothing, cause)
	}
	a.m.log.WarnContext(ctx, "migrate: the connection was lost at COMMIT, which took effect", "migration", a.step.Ref.String(), "err", cause)
	if a.step.Direction == Up {
		a.seq++
	}
	return nil
}

// foreignKeysOff turns the enforcement off where it was on. Within a transaction SQLite would ignore it.
func (a *attempt) foreignKeysOff(ctx context.Context) (restore func(), err error) {
	var on int
	if err := a.conn.QueryRowContext(ctx, "PRAGMA foreign_keys").Scan(&on); err != nil {
		return nil, fmt.Errorf("migrate: ask for foreign_keys: %w", err)
	}
	if on == 0 {
		return func() {}, nil
	}
	if _, err := a.conn.ExecContext(ctx, "PRAGMA foreign_keys = OFF"); err != nil {
		return nil, fmt.Errorf("migrate: turn foreign_keys off: %w", err)
	}
	return func() {
		bounded, cancel := own(ctx)
		defer cancel()
		if _, err := a.conn.ExecContext(bounded, "PRAGMA foreign_keys = ON"); err != nil {
			a.m.log.ErrorContext(ctx, "migrate: turn foreign_keys on again", "err", err)
		}
	}, nil
}

// violations counts the rows that refer to nothing.
func (a *attempt) violations(ctx context.Context) (found []string, err error) {
	if !a.step.shape.fkOff {
		return nil, nil
	}
	found, err = texts(ctx, a.conn, `SELECT 'row ' || COALESCE(rowid, '?') || ' of ' || "table" || ' refers to nothing in ' || parent FROM pragma_foreign_key_check`)
	if err != nil {
		return nil, fmt.Errorf("migrate: check the foreign keys: %w", err)
	}
	return found, nil
}

// checkReferences allows as many broken references from one table to another as there were before. A rebuild may number the rows anew.
func (a *attempt) checkReferences(ctx context.Context, before []string) error {
	after, err := a.violations(ctx)
	if err != nil {
		return err
	}
	old := map[string]int{}
	for _, row := range before {
		old[tablesBroken(row)]++
	}
	var more []string
	for _, row := range after {
		if name := tablesBroken(row); old[name] > 0 {
			old[name]--
		} else {
			more = append(more, row)
		}
	}
	if len(more) == 0 {
		return nil
	}
	return fmt.Errorf("%w: before it there were %d, with it there are %d: %s", ErrForeignKeys, len(before), len(after), some(more))
}

// tablesBroken is a line of violations without its row.
func tablesBroken(line string) string {
	_, tables, _ := strings.Cut(line, " of ")
	return tables
}
