package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/buffkit/buffkit/migrate/lexer"
)

// resolve finds out about a statement that the server may have executed while nobody listened. Whoever sent it is gone: the
// connection has the lock for the work.
func (a *attempt) resolve(ctx context.Context) error {
	r := a.step.row
	if r == nil || r.state == Applied {
		return nil
	}
	for _, e := range r.journal {
		if e.state == done {
			a.took += e.took
			a.rows += e.rows
			a.earlier = append(a.earlier, StatementTime{N: e.last, Took: e.took, Rows: e.rows}) // of a block as a whole
		}
	}
	e := r.open()
	if e == nil {
		return nil
	}
	var note announcement
	if err := json.Unmarshal([]byte(e.before), &note); err != nil {
		return fmt.Errorf("%w: the journal's note of statement %d of %s can't be read: %w", ErrLedger, e.first, r.ref, err)
	}
	executed, err := a.executed(ctx, e, note)
	if err != nil {
		return err
	}
	if executed {
		return a.strikeOff(ctx, e)
	}
	a.m.log.InfoContext(ctx, "migrate: an interrupted statement didn't take effect, so it's run again", "migration", r.ref.String(), "statement", e.first)
	err = a.write(ctx, func(ctx context.Context) error { return a.l.withdraw(ctx, a.conn, r.ref, e.first) })
	r.journal = withoutEntry(r.journal, e.first)
	return err
}

func withoutEntry(journal []entry, first int) (rest []entry) {
	for _, e := range journal {
		if e.first != first {
			rest = append(rest, e)
		}
	}
	return rest
}

// strikeOff notes that a statement was executed after all.
func (a *attempt) strikeOff(ctx context.Context, e *entry) error {
	r, sh := a.step.row, a.step.shape
	if e.last > sh.n() || markOfAll(sh.marks[e.first-1:e.last]) != e.marks {
		return fmt.Errorf("%w: statement %d was executed by an interrupted run as %q, and isn't in the file any more: put it back, and change only what comes behind it",
			ErrDrift, e.first, e.sql)
	}
	a.m.log.InfoContext(ctx, "migrate: an interrupted statement took effect, going on behind it", "migration", r.ref.String(), "statement", e.first)
	settledEntry := *e
	settledEntry.state, settledEntry.err = done, ""
	err := a.write(ctx, func(ctx context.Context) error {
		if e.state == failed { // settle is for what is announced
			if err := a.l.withdraw(ctx, a.conn, r.ref, e.first); err != nil {
				return err
			}
			return a.l.announce(ctx, a.conn, r.ref, settledEntry)
		}
		return a.l.settle(ctx, a.conn, r.ref, settledEntry)
	})
	if err == nil {
		e.state = done
		a.step.Done, a.done = e.last, e.last
	}
	return err
}

// executed compares the catalog with what was noted before the statement.
func (a *attempt) executed(ctx context.Context, e *entry, note announcement) (bool, error) {
	if note.Repeat {
		return false, nil
	}
	if len(note.Objects) == 0 {
		return false, a.unclear(e, "Look whether it did what it should.")
	}
	if err := a.setAgain(ctx); err != nil { // a name may mean something else without
		return false, err
	}
	after, err := a.m.server.probe(ctx, a.conn, note.Objects)
	if err != nil {
		return false, fmt.Errorf("migrate: look at the catalog: %w", err)
	}
	if strings.Contains(after, ": invalid") && !strings.Contains(note.Catalog, ": invalid") {
		return false, a.halfIndex(ctx, note)
	}
	same, changed := compare(note.Catalog, after)
	switch {
	case changed == 0:
		return false, nil
	case same == 0:
		return true, nil
	}
	return false, a.unclear(e, "A part of what it changes has changed:\n"+indent(after))
}

func (a *attempt) unclear(e *entry, check string) error {
	return &UnclearError{Ref: a.step.Ref, Statement: e.first, SQL: e.sql, Check: check}
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
}

// compare counts the lines of two probes of the same objects that are the same, and that aren't.
func compare(before, after string) (same, changed int) {
	old := strings.Split(strings.TrimSpace(before), "\n")
	for i, line := range strings.Split(strings.TrimSpace(after), "\n") {
		if i < len(old) && old[i] == line {
			same++
		} else {
			changed++
		}
	}
	return same, changed
}

// halfIndex is for an index whose building was interrupted, which is of no use and slows writes down. It is dropped, and the statement runs again; one
// whose concurrent drop was interrupted is dropped again by the statement.
func (a *attempt) halfIndex(ctx context.Context, note announcement) error {
	if note.Why != "CREATE INDEX CONCURRENTLY" {
		return nil
	}
	for _, o := range note.Objects {
		name := quoted(o, a.m.server.quote)
		a.m.log.WarnContext(ctx, "migrate: an interrupted run left an invalid index, dropping it to build it anew", "index", name)
		if err := a.m.server.waitForLocks(ctx, a.conn, true); err != nil {
			return err
		}
		_, err := a.exec(ctx, "DROP INDEX CONCURRENTLY IF EXISTS "+name)
		if err = errors.Join(err, a.m.server.waitForLocks(ctx, a.conn, false)); err != nil {
			return fmt.Errorf("drop the invalid index %s: %w", name, err)
		}
	}
	return nil
}

// replay remembers what statements that are done have set on a connection that is gone.
type replay struct {
	kept   []remembered // in their order
	worked int          // the last statement that wasn't for the connection alone
}

type remembered struct {
	st      lexer.Statement
	n       int
	name    string // of what it sets, "" if that isn't known
	literal bool
}

// take keeps a statement. Of what is computed, and of what is prepared, only the last counts.
func (r *replay) take(st lexer.Statement, n int, nat nature, m *Migrator) {
	if nat != session && nat != pragma {
		r.worked = n
		return
	}
	s := classify(st, m.dialect)
	prepared := strings.HasPrefix(s.sets, "prepare ")
	r.kept = slices.DeleteFunc(r.kept, func(old remembered) bool {
		return s.sets != "" && old.name == s.sets && (prepared || !old.literal)
	})
	r.kept = append(r.kept, remembered{st, n, s.sets, s.literal || nat == pragma})
}

// setAgain has the connection look at what the statements that are done had it look at: USE and search_path.
func (a *attempt) setAgain(ctx context.Context) error {
	if a.step.conn == a.conn || a.step.script.code != nil {
		return nil
	}
	var replay replay
	n := 0
	for st, err := range a.step.script.statements() {
		if err != nil {
			return err
		}
		if n++; n > a.step.Done {
			break
		}
		if err := a.step.unchanged(n, st.SQL); err != nil {
			return err
		}
		replay.take(st, n, a.step.shape.natures[n-1], a.m)
	}
	if err := a.redo(ctx, &replay); err != nil {
		return err
	}
	a.step.conn = a.conn
	return nil
}

// redo sends them. What was computed from data before other statements ran can't be had again, and ends the run.
func (a *attempt) redo(ctx context.Context, r *replay) error {
	for _, s := range r.kept {
		words := strings.Fields(strings.ToLower(s.st.SQL))
		if len(words) > 0 && words[0] == "deallocate" {
			continue
		}
		if !s.literal && s.n < r.worked {
			used, err := a.mentions(s.name)
			if err != nil {
				return err
			}
			if !used {
				continue
			}
			return fmt.Errorf("%w: an earlier run was interrupted behind statement %d, and what statement %d had computed for its connection can't be had again: "+
				"do the rest by hand, then: buffkit migrate repair %s --applied", ErrUnfinished, a.step.Done, s.n, a.step.Ref)
		}
		if _, err := a.exec(ctx, s.st.SQL); err != nil {
			return a.fault(s.st, err)
		}
	}
	return nil
}

// mentions tells whether a statement that is left uses one of the things that a session statement has set. A setting of the server's counts for all.
func (a *attempt) mentions(setting string) (bool, error) {
	words := strings.Fields(setting)
	isSetting := func(name string) bool { return words[0] == "set" && !isUserVariable(name) }
	if len(words) < 2 || slices.ContainsFunc(words[1:], isSetting) {
		return true, nil
	}
	n := 0
	for st, err := range a.step.script.statements() {
		if err != nil {
			return false, err
		}
		text := strings.ToLower(st.SQL)
		if n++; n > a.step.Done && slices.ContainsFunc(words[1:], func(word string) bool { return strings.Contains(text, word) }) {
			return true, nil
		}
	}
	return false, nil
}
