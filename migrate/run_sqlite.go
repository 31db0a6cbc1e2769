package migrate

import (
	"context"

	"github.com/buffkit/buffkit/migrate/dialect"
)

// manySteps are as many as make it worth while to keep the journal: that costs about as much as one migration.
const manySteps = 8

// keepJournal has SQLite keep the file of its rollback journal from one transaction to the next, with zeros at its beginning, instead of making it and
// removing it each time. That is as safe, other connections needn't know, and a small migration takes less time by a fifth. A mode that somebody
// has chosen stays, WAL above all. The function that it returns ends it, and removes the file.
func (r *run) keepJournal(ctx context.Context, steps int) (end func()) {
	if r.m.dialect != dialect.SQLite || steps < manySteps || !r.journalIs(ctx, "delete") {
		return func() {}
	}
	r.setJournal(ctx, "persist")
	return func() {
		if r.journalIs(ctx, "persist") { // a migration may have set another
			r.setJournal(ctx, "delete")
		}
	}
}

func (r *run) journalIs(ctx context.Context, mode string) bool {
	bounded, cancel := own(ctx)
	defer cancel()
	modes, err := texts(bounded, r.conn, "PRAGMA main.journal_mode")
	return err == nil && len(modes) == 1 && modes[0] == mode
}

func (r *run) setJournal(ctx context.Context, mode string) {
	bounded, cancel := own(ctx)
	defer cancel()
	if _, err := texts(bounded, r.conn, "PRAGMA main.journal_mode = "+mode); err != nil { // a file may be left, which SQLite takes for none
		r.m.log.DebugContext(ctx, "migrate: set the journal", "mode", mode, "err", err)
	}
}
