package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/buffkit/buffkit/migrate/lexer"
)

// stepwise runs a step block by block, with a journal, since not all of it can be rolled back.
func (a *attempt) stepwise(ctx context.Context) error {
	if err := a.resolve(ctx); err != nil {
		if errors.Is(err, ErrUnclear) {
			return a.fail("", err) // it says all there is to say
		}
		return a.fail(a.untouched(), err)
	}
	if err := a.enter(ctx); err != nil {
		return a.fail(a.untouched(), err)
	}
	a.measure(ctx, false)
	var err error
	if a.step.script.code != nil {
		err = a.codeBlock(ctx)
	} else {
		err = a.blocks(ctx)
	}
	if err != nil {
		return a.leave(ctx, err)
	}
	a.measure(ctx, true)
	finish := func(ctx context.Context) error {
		if a.step.Direction == Down {
			return a.l.remove(ctx, a.conn, a.step.row.ref, Undoing)
		}
		row, down, err := a.row()
		if err != nil {
			return err
		}
		return a.l.finish(ctx, a.conn, row, down, append(a.earlier, a.times...))
	}
	if err := a.write(ctx, finish); err != nil {
		if err := a.finished(ctx, err); err != nil {
			return err
		}
	}
	if a.step.Direction == Up {
		a.seq++
	}
	return nil
}

// enter notes that the step was begun.
func (a *attempt) enter(ctx context.Context) error {
	if a.step.row != nil && a.step.row.state != Applied {
		return nil
	}
	err := a.write(ctx, func(ctx context.Context) error {
		if err := a.l.forget(ctx, a.conn, a.ledgerRef()); err != nil { // a hand may have deleted the row, or changed its state, alone
			return err
		}
		if a.step.Direction == Down {
			return a.l.setState(ctx, a.conn, a.step.row.ref, Applied, Undoing)
		}
		if a.step.row != nil { // again
			return a.l.setState(ctx, a.conn, a.step.row.ref, Applied, Applying)
		}
		row, down, err := a.row()
		if err != nil {
			return err
		}
		row.state, row.took, row.rows = Applying, 0, 0
		return a.l.insert(ctx, a.conn, row, down, nil)
	})
	if err != nil {
		return err
	}
	begun := *a.rowBegun()
	a.step.row, a.step.conn = &begun, a.conn
	return nil
}

// ledgerRef is the migration as the ledger spells it.
func (a *attempt) ledgerRef() Ref {
	if a.step.row != nil {
		return a.step.row.ref
	}
	return a.step.Ref
}

// rowBegun is the row as enter has left it.
func (a *attempt) rowBegun() *row {
	if a.step.Direction == Down {
		r := *a.step.row
		r.state, r.journal = Undoing, nil
		return &r
	}
	if a.step.row != nil {
		return &row{ref: a.step.row.ref, seq: a.step.row.seq, state: Applying}
	}
	return &row{ref: a.step.Ref, seq: a.seq, state: Applying}
}

// leave says what a failed step leaves. If none of it took effect, its row goes too.
func (a *attempt) leave(ctx context.Context, cause error) error {
	if !a.alive(ctx) {
		if err := a.findOut(ctx); err != nil {
			return a.fail(LeftUnclear, cause)
		}
	}
	if a.done > 0 || len(a.openEntries(ctx)) > 0 {
		return a.fail(LeftPart, cause)
	}
	err := a.write(ctx, func(ctx context.Context) error {
		if a.step.Direction == Up && !a.step.again {
			return a.l.remove(ctx, a.conn, a.step.row.ref, Applying)
		}
		if err := a.l.setState(ctx, a.conn, a.step.row.ref, a.step.row.state, Applied); err != nil {
			return err
		}
		return a.l.forget(ctx, a.conn, a.step.row.ref)
	})
	if err != nil {
		return a.fail(LeftPart, errors.Join(cause, err))
	}
	failed := a.fail(LeftNothing, cause)
	if a.step.row.state == Applying && !a.step.again {
		a.step.row = nil
	} else {
		a.step.row.state = Applied
	}
	return failed
}

// findOut reads on a new connection how far the step came. The connection has the lock for the work only when the old one has ended in the server, and
// whoever else has got the other lock by now waits for that one.
func (a *attempt) findOut(ctx context.Context) error {
	r, err := a.reread(ctx)
	if err != nil {
		return err
	}
	if r == nil || r.state == Applied {
		return fmt.Errorf("%w: %s isn't unfinished any more", ErrLockLost, a.step.Ref)
	}
	a.step.row, a.step.Done, a.done, a.took, a.rows, a.earlier = r, r.done(), r.done(), 0, 0, nil
	bounded, cancel := own(ctx)
	defer cancel()
	return a.resolve(bounded)
}

func (a *attempt) reread(ctx context.Context) (*row, error) {
	bounded, cancel := own(ctx)
	defer cancel()
	if !a.alive(bounded) {
		if !a.m.server.cancels() || a.pooled() { // without the lock for the work the old one may still be at it
			return nil, errors.New("migrate: the connection is gone")
		}
		if err := a.connect(bounded); err != nil {
			return nil, err
		}
	}
	b, err := a.m.read(bounded, a.l, a.conn)
	if err != nil {
		return nil, err
	}
	return b.get(a.step.Ref), nil
}

// finished finds out whether the last write of a step took effect, of which the answer was lost. If it didn't, the next run finds all
// statements done, and writes it.
func (a *attempt) finished(ctx context.Context, cause error) error {
	r, err := a.reread(ctx)
	switch {
	case err != nil:
		return a.fail(LeftUnclear, errors.Join(cause, err))
	case a.step.Direction == Up && r != nil && r.state == Applied, a.step.Direction == Down && r == nil:
		return nil
	}
	return a.fail(LeftPart, cause)
}

// openEntries are what the journal has besides what is done: a statement that failed and may have left something.
func (a *attempt) openEntries(ctx context.Context) []entry {
	bounded, cancel := own(ctx)
	defer cancel()
	b, err := a.m.read(bounded, a.l, a.conn)
	if err != nil {
		return []entry{{}}
	}
	if r := b.get(a.step.Ref); r != nil {
		return r.journal
	}
	return nil
}

// blocks sends what isn't done yet.
func (a *attempt) blocks(ctx context.Context) error {
	blocks := a.step.shape.blocks(a.done, a.m.dialect)
	var replay replay
	n, open := 0, false
	for st, err := range a.step.script.statements() {
		if err != nil {
			return a.closeBlock(ctx, open, err)
		}
		n++
		if err := a.step.unchanged(n, st.SQL); err != nil {
			return a.closeBlock(ctx, open, err)
		}
		if n <= a.step.Done {
			replay.take(st, n, a.step.shape.natures[n-1], a.m)
			continue
		}
		if n == a.step.Done+1 && a.step.conn != a.conn {
			if err := a.redo(ctx, &replay); err != nil {
				return err
			}
		}
		b := blocks[0]
		if open, err = a.statement(ctx, b, n, st, open); err != nil {
			return a.closeBlock(ctx, open, err)
		}
		if n == b.last {
			blocks = blocks[1:]
		}
	}
	return a.step.whole(n)
}

// closeBlock gives up a transaction that is open.
func (a *attempt) closeBlock(ctx context.Context, open bool, err error) error {
	if open {
		a.rollback(ctx)
	}
	return err
}

// statement sends one. It returns whether a transaction is open behind it.
func (a *attempt) statement(ctx context.Context, b block, n int, st lexer.Statement, open bool) (bool, error) {
	if err := ctx.Err(); err != nil {
		return open, ended(ctx)
	}
	if !b.tx {
		return false, a.alone(ctx, b, n, st)
	}
	if n == b.first {
		if err := a.begin(ctx); err != nil {
			return false, err
		}
		open = true
	}
	if a.step.shape.sent(n - 1) {
		if err := a.send(ctx, n, st); err != nil {
			return open, err
		}
	}
	if n < b.last {
		return open, nil
	}
	bounded, cancel := own(ctx)
	defer cancel()
	e := entry{first: b.first, last: b.last, marks: markOfAll(a.step.shape.marks[b.first-1 : b.last]), state: done, sql: excerpt(st.SQL)}
	for _, t := range a.times {
		if t.N >= b.first {
			e.took += t.Took
			e.rows += t.Rows
		}
	}
	if err := a.l.announce(bounded, a.conn, a.step.row.ref, e); err != nil {
		return open, err
	}
	if err := a.commit(ctx); err != nil {
		return true, err
	}
	a.done = b.last
	return false, nil
}

// announcement is what the journal keeps of a statement that commits by itself: enough to find out later whether it was executed.
type announcement struct {
	Objects []object `json:"objects,omitempty"`
	Catalog string   `json:"catalog,omitempty"` // what probe said before
	Repeat  bool     `json:"repeat,omitempty"`
	Why     string   `json:"why,omitempty"`
}

// alone sends a statement that commits by itself, or changes the connection alone.
func (a *attempt) alone(ctx context.Context, b block, n int, st lexer.Statement) error {
	ref := a.step.row.ref
	e := entry{first: n, last: n, marks: markOfAll(a.step.shape.marks[n-1 : n]), state: done, sql: excerpt(st.SQL)}
	if b.nature != alone {
		if a.step.shape.sent(n - 1) {
			if err := a.send(ctx, n, st); err != nil {
				return err
			}
		}
		err := a.write(ctx, func(ctx context.Context) error { return a.l.announce(ctx, a.conn, ref, e) })
		if err == nil {
			a.done = n
		}
		return err
	}
	s := classify(st, a.m.dialect)
	s.code = s.code || s.nature == inTx // it may change rows that nothing rolls back
	note, err := a.announce(ctx, e, s)
	if err != nil {
		return err
	}
	if s.concur {
		err = a.m.server.waitForLocks(ctx, a.conn, true)
	}
	if err == nil {
		err = a.send(ctx, n, st)
	}
	if err == nil && s.concur {
		if err = a.m.server.waitForLocks(ctx, a.conn, false); err == nil {
			err = a.checkIndex(ctx, s, st)
		}
	}
	return a.settled(ctx, e, s, note, err)
}

func (a *attempt) announce(ctx context.Context, e entry, s statement) (announcement, error) {
	note := announcement{Objects: s.objects, Repeat: s.repeat, Why: s.why}
	var err error
	if note.Catalog, err = a.m.server.probe(ctx, a.conn, s.objects); err != nil {
		return note, fmt.Errorf("migrate: look at the catalog: %w", err)
	}
	text, err := json.Marshal(note)
	if err != nil {
		return note, err
	}
	e.state, e.before = intent, string(text)
	return note, a.write(ctx, func(ctx context.Context) error { return a.l.announce(ctx, a.conn, a.step.row.ref, e) })
}

// settled writes how a statement ended. One whose connection is lost stays announced.
func (a *attempt) settled(ctx context.Context, e entry, s statement, note announcement, cause error) error {
	ref := a.step.row.ref
	if len(a.times) > 0 && a.times[len(a.times)-1].N == e.first {
		e.took, e.rows = a.times[len(a.times)-1].Took, a.times[len(a.times)-1].Rows
	}
	if cause == nil {
		err := a.write(ctx, func(ctx context.Context) error { return a.l.settle(ctx, a.conn, ref, e) })
		if err == nil {
			a.done = e.last
		}
		return err
	}
	if !a.alive(ctx) {
		return cause
	}
	bounded, cancel := own(ctx)
	defer cancel()
	if s.concur {
		_ = a.m.server.waitForLocks(bounded, a.conn, false)
	}
	after, err := a.m.server.probe(bounded, a.conn, s.objects)
	if err == nil && after == note.Catalog && !s.code {
		err = a.write(bounded, func(ctx context.Context) error { return a.l.withdraw(ctx, a.conn, ref, e.first) })
	} else {
		e.state, e.err = failed, oneLine(cause)
		err = a.write(bounded, func(ctx context.Context) error { return a.l.settle(ctx, a.conn, ref, e) })
	}
	return errors.Join(cause, err)
}

// checkIndex sees that an index is good: with IF NOT EXISTS an invalid one that was there before counts as success.
func (a *attempt) checkIndex(ctx context.Context, s statement, st lexer.Statement) error {
	if s.why != "CREATE INDEX CONCURRENTLY" || len(s.objects) == 0 {
		return nil
	}
	text, err := a.m.server.probe(ctx, a.conn, s.objects)
	if err != nil || !strings.Contains(text, ": invalid") {
		return err
	}
	return a.fault(st, fmt.Errorf("the index %s was there before and is invalid: drop it, and run this again", s.objects[0].Name))
}

// codeBlock runs code that can't be rolled back as a whole. Its data statements are one transaction with the journal, if it wants one.
func (a *attempt) codeBlock(ctx context.Context) error {
	if a.done >= 1 {
		return nil
	}
	e := entry{first: 1, last: 1, marks: markOfAll(a.step.shape.marks), state: done, sql: "Go code"}
	s := statement{nature: alone, code: true}
	note, err := a.announce(ctx, e, s)
	if err != nil {
		return err
	}
	if a.step.script.noTx {
		return a.settled(ctx, e, s, note, a.call(ctx))
	}
	if err := a.begin(ctx); err != nil {
		return err
	}
	if err := a.call(ctx); err != nil {
		a.rollback(ctx)
		s.code = a.committedByItself
		return a.settled(ctx, e, s, note, err)
	}
	bounded, cancel := own(ctx)
	defer cancel()
	if err := a.l.settle(bounded, a.conn, a.step.row.ref, e); err != nil {
		a.rollback(ctx)
		return err
	}
	if err := a.commit(ctx); err != nil {
		a.rollback(ctx)
		return err
	}
	a.done = 1
	return nil
}

// excerpt is the beginning of a statement on one line.
func excerpt(sql string) string {
	const most = 300
	text := strings.ToValidUTF8(strings.Join(strings.Fields(limit(sql, 4*most)), " "), "\ufffd") // servers refuse half a character
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + " …"
	}
	return text
}
