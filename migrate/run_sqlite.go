package migrate

import (
	"context"
	"strconv"

	"github.com/buffkit/buffkit/migrate/dialect"
)

// manySteps are as many as make it worth while to keep the journal: that costs about as much as one migration.
const manySteps = 8

// keptJournal is how many bytes of the journal's file are kept: those of a small migration, and of a disk that is full not the last.
const keptJournal = 1 << 20

// keepJournal has SQLite keep the file of its rollback journal from one transaction to the next, with zeros at its beginning, instead of making it and
// removing it each time. That is as safe, other connections needn't know, and a small migration takes less time by a fifth. A mode that somebody
// has chosen stays, WAL above all. What a large migration has written to the file is cut off behind it. The function that it returns ends all this, and
// removes the file.
func (r *run) keepJournal(ctx context.Context, steps int) (end func()) {
	if r.m.dialect != dialect.SQLite || steps < manySteps || !r.journalIs(ctx, "delete") {
		return func() {}
	}
	limited := r.pragmaIs(ctx, "journal_size_limit", "-1")
	if limited {
		r.setPragma(ctx, "journal_size_limit", strconv.Itoa(keptJournal))
	}
	r.setPragma(ctx, "journal_mode", "persist")
	return func() {
		if r.journalIs(ctx, "persist") { // a migration may have set another
			r.setPragma(ctx, "journal_mode", "delete")
		}
		if limited {
			r.setPragma(ctx, "journal_size_limit", "-1")
		}
	}
}

func (r *run) journalIs(ctx context.Context, mode string) bool {
	return r.pragmaIs(ctx, "journal_mode", mode)
}

func (r *run) pragmaIs(ctx context.Context, name, value string) bool {
	bounded, cancel := own(ctx)
	defer cancel()
	values, err := texts(bounded, r.conn, "PRAGMA main."+name)
	return err == nil && len(values) == 1 && values[0] == value
}

func (r *run) setPragma(ctx context.Context, name, value string) {
	bounded, cancel := own(ctx)
	defer cancel()
	if _, err := texts(bounded, r.conn, "PRAGMA main."+name+" = "+value); err != nil { // a file may be left, which SQLite takes for none
		r.m.log.DebugContext(ctx, "migrate: set "+name, "value", value, "err", err)
	}
}
