package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
	"github.com/buffkit/buffkit/migrate/schema"
)

// SquashOptions are those of Migrator.Squash. nil and zero fields mean the defaults.
type SquashOptions struct {
	// Scratch is an empty database of the same kind. The migrations are run on it, and its schema is taken: so the squash holds what
	// the migrations make and nothing else, whatever else the database has. Without it that one must be exactly at the version, with
	// this source alone.
	Scratch *sql.DB
	// WithoutData goes on although some of the migrations change rows or privileges, which a new database won't have then.
	WithoutData bool
}

// Squash is one migration in place of many.
type Squash struct {
	Ref Ref `json:"ref"` // that of the last one it stands for
	// Replaces are the files that it replaces, in their order. Those without a database in their names may be others' too: before they are removed,
	// the other kinds of databases that use the folder need a squash of their own.
	Replaces []string `json:"replaces"`
	// Path is the name for its file.
	Path string `json:"path"`
	SQL  string `json:"sql"`
	// Lost are the statements whose effect isn't in it, with their places.
	Lost []string `json:"lost,omitempty"`
}

// maxSquashHeader is how long the list of versions may be: headers are looked for at the beginning of a file.
const maxSquashHeader = 48 << 10

// Squash returns one migration that stands for those of a source up to a version. It writes nothing to this database: put the file in the place of
// the old ones. Databases that have applied all of them see it as applied, by the versions and checksums in its header, and keep their
// rows in the ledger; a new database runs it instead. One that has applied a part refuses it.
//
// It refuses with ErrSquash where that wouldn't be safe: a migration up to the version that isn't applied or has changed since, one that depends on another source, is
// repeatable, or is for some environments only, a schema that can't be written as SQL, or that isn't what the migrations make, and statements
// whose effect isn't in a schema (unless SquashOptions.WithoutData).
func (m *Migrator) Squash(ctx context.Context, to Ref, opts *SquashOptions) (*Squash, error) {
	var o SquashOptions
	if opts != nil {
		o = *opts
	}
	if to.Source == "" {
		to.Source = m.opts.Sources[0].Name
	}
	var result *Squash
	err := m.locked(ctx, func(r *run) (err error) {
		result, err = r.squash(ctx, to, o)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("squash up to %s: %w", to, err)
	}
	return result, nil
}

func (r *run) squash(ctx context.Context, to Ref, o SquashOptions) (*Squash, error) {
	files := r.m.load()
	if len(files.problems) > 0 {
		return nil, &PlanError{Problems: files.problems}
	}
	b, err := r.m.read(ctx, r.l, r.conn)
	if err != nil {
		return nil, err
	}
	old, err := toSquash(files, b, to)
	if err != nil {
		return nil, err
	}
	alone, err := onlyThese(b, to)
	if err != nil && o.Scratch == nil {
		return nil, err
	}
	q := &Squash{Ref: old[len(old)-1].ref}
	for _, mig := range old {
		if err := r.m.lost(q, mig); err != nil {
			return nil, err
		}
		if mig.up.sql != nil {
			q.Replaces = append(q.Replaces, mig.path)
		}
		if mig.down != nil && mig.down.path != mig.path && mig.down.sql != nil {
			q.Replaces = append(q.Replaces, mig.down.path)
		}
	}
	if len(q.Lost) > 0 && !o.WithoutData {
		return nil, fmt.Errorf("%w: a schema doesn't hold the effect of %s:\n    %s\n  put what a new database needs into a migration behind %s, and then say WithoutData (--without-data)",
			ErrSquash, count(len(q.Lost), "statement"), strings.Join(q.Lost, "\n    "), q.Ref)
	}
	s, err := r.squashed(ctx, q.Ref, alone, o.Scratch)
	if err != nil {
		return nil, err
	}
	header := squashHeader(old, q.Lost)
	if len(header) > maxSquashHeader {
		return nil, fmt.Errorf("%w: %d migrations are too many at once: take a lower version first", ErrSquash, len(old))
	}
	q.Path = fmt.Sprintf("%s_squash.%s.up.sql", q.Ref.Version, r.m.dialect)
	q.SQL = header + s.String()
	return q, nil
}

// toSquash returns the migrations up to a version, if the database has them all as they are.
func toSquash(files *set, b *book, to Ref) (old []*migration, err error) {
	if files.own(to) == nil {
		return nil, fmt.Errorf("%w: see status for those that there are", ErrUnknown)
	}
	var errs []error
	refuse := func(ref Ref, text string) { errs = append(errs, fmt.Errorf("%w: %s %s", ErrSquash, ref, text)) }
	for _, mig := range files.all {
		if mig.ref.Source != to.Source || mig.ref.Version.Compare(to.Version) > 0 {
			continue
		}
		old = append(old, mig)
		r := b.get(mig.ref)
		switch {
		case r == nil:
			refuse(mig.ref, "is pending: apply it first, or remove it")
		case r.state != Applied:
			refuse(mig.ref, "is unfinished: run up first")
		case !mig.same(r):
			refuse(mig.ref, "changed after it was applied: "+mig.path+" isn't what this database has")
		default:
			if _, lacking := b.lacking(mig); len(lacking) > 0 {
				refuse(mig.ref, "stands for "+someRefs(lacking)+", which this database doesn't have")
			}
		}
		if mig.repeatable {
			refuse(mig.ref, "is repeatable, and a squash isn't: take a version below it")
		}
		if len(mig.env) > 0 {
			refuse(mig.ref, "is for the environments "+strings.Join(mig.env, ", ")+" only, and a squash is for all")
		}
		for _, ref := range mig.depends {
			if ref.Source != to.Source {
				refuse(mig.ref, "depends on "+ref.String()+", so its source can't be made in one piece")
			}
		}
	}
	for _, r := range b.rows {
		if r.ref.Source == to.Source && r.ref.Version.Compare(to.Version) <= 0 && files.get(r.ref) == nil {
			refuse(r.ref, "is applied, and its file is missing: bring it back")
		}
	}
	if len(old) < 2 && len(errs) == 0 {
		refuse(to, "is the only one up to there: there is nothing to squash")
	}
	return old, errors.Join(errs...)
}

// onlyThese tells whether the database has the migrations up to a version and no others.
func onlyThese(b *book, to Ref) (bool, error) {
	for _, r := range b.rows {
		switch {
		case r.ref.Source != to.Source:
			return false, fmt.Errorf("%w: the database has the source %s too, whose tables can't be told from these: give an empty scratch database (--scratch)",
				ErrSquash, r.ref.Source)
		case r.ref.Version.Compare(to.Version) > 0:
			return false, fmt.Errorf("%w: %s is applied, which is above: give an empty scratch database (--scratch), or take the newest version", ErrSquash, r.ref)
		}
	}
	return true, nil
}

// squashed returns the schema that the migrations make.
func (r *run) squashed(ctx context.Context, to Ref, alone bool, scratch *sql.DB) (s *schema.Schema, err error) {
	var here *schema.Schema
	if alone {
		if here, err = r.m.schemaOf(ctx, r.conn); err != nil {
			return nil, err
		}
	}
	if s = here; scratch != nil {
		if s, err = r.m.replaySquashed(ctx, to, scratch); err != nil {
			return nil, err
		}
		if here != nil {
			if diff := schema.Diff(s, here); diff != "" {
				return nil, fmt.Errorf("%w: this database isn't what its migrations make (- as they make it, + as it is):\n%s", ErrSquash, diff)
			}
		}
	}
	if len(s.Omitted) > 0 {
		return nil, fmt.Errorf("%w: the schema can't be written as SQL: it has %s", ErrSquash, strings.Join(s.Omitted, "; "))
	}
	return s, nil
}

// replaySquashed runs the migrations up to a version on the scratch database.
func (m *Migrator) replaySquashed(ctx context.Context, to Ref, scratch *sql.DB) (*schema.Schema, error) {
	var sources []Source
	for _, s := range m.opts.Sources {
		if s.Name == to.Source {
			sources = append(sources, s)
		}
	}
	s, err := m.replay(ctx, scratch, sources, &Goal{Do: DoUp, To: &to})
	if errors.Is(err, errScratch) {
		err = fmt.Errorf("%w: %w", ErrSquash, err)
	}
	return s, err
}

// squashHeader is what a squash begins with.
func squashHeader(old []*migration, lost []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "-- One migration in place of %d. A database that has applied them all counts this one as applied.\n", len(old))
	for _, mig := range old {
		fmt.Fprintf(&b, "-- squashes: %s", mig.ref.Version)
		if mig.checksum != "" {
			b.WriteString("@" + shortSum(mig.checksum))
		}
		b.WriteByte('\n')
		for _, older := range mig.squashes { // a squash of a squash
			if key(Ref{Source: mig.ref.Source, Version: older.Version}) != key(mig.ref) || older.Checksum != shortSum(mig.checksum) {
				fmt.Fprintf(&b, "-- squashes: %s@%s\n", older.Version, older.Checksum)
			}
		}
	}
	if app := newestApp(old); app != "" {
		fmt.Fprintf(&b, "-- requires-app: %s\n", app)
	}
	for _, l := range lost {
		fmt.Fprintf(&b, "-- not in it: %s\n", l)
	}
	return b.String()
}

// newestApp is the oldest version of the app that works with all of them; "" if none says one.
func newestApp(all []*migration) (app string) {
	for _, mig := range all {
		if mig.app != "" && (app == "" || above(mig.app, app)) {
			app = mig.app
		}
	}
	return app
}

// lost finds the statements whose effect isn't in a schema.
func (m *Migrator) lost(q *Squash, mig *migration) error {
	if mig.up.code != nil {
		q.Lost = append(q.Lost, fmt.Sprintf("%s: code in Go, of which only the change of the schema is kept", mig.ref))
		return nil
	}
	for st, err := range mig.up.statements() {
		if err != nil {
			return err
		}
		if why := beyondSchema(st, m.dialect); why != "" {
			q.Lost = append(q.Lost, fmt.Sprintf("%s: %s: %s", st.Pos, why, limit(excerpt(st.SQL), 80)))
		}
	}
	return nil
}

// beyondSchema says what a statement does that isn't in a schema; "" if nothing is known.
func beyondSchema(st lexer.Statement, d dialect.Dialect) string {
	p := phrase{tokens: head(st), dialect: d}
	if p.hasOne("create", "alter") {
		p.tokens = firstTokens(st, ddlTokens)
	}
	switch {
	case p.hasOne("insert", "update", "delete", "replace", "merge", "copy", "load", "truncate", "with"):
		return "changes rows"
	case p.hasOne("select", "values") && !p.contains("set_config"):
		return "may change rows"
	case p.hasOne("do", "call", "execute", "perform"), p.compound():
		return "may change anything"
	case p.hasOne("grant", "revoke"), p.has("alter", "default", "privileges"):
		return "changes privileges"
	case (p.has("create") || p.has("alter") || p.has("drop")) && len(p.tokens) > 1 && isServerWide(p.tokens[1]):
		return "changes the server, not the schema"
	case p.copiesRows():
		return "copies rows"
	case p.setsCounter():
		return "sets the next number"
	case p.has("alter") && p.contains("owner", "to"):
		return "changes the owner"
	}
	return ""
}

// ddlTokens is how far a statement that creates or alters is looked at: 1,600 columns, which no server goes beyond by much, of 40 words.
const ddlTokens = 1 << 16

// compound tells whether it is one of MariaDB's compound statements, perhaps with a label.
func (p phrase) compound() bool {
	return p.has("begin", "not", "atomic") || p.hasOne("if", "case", "loop", "repeat", "while", "for") || len(p.tokens) > 1 && p.tokens[1].Text == ":"
}

// table returns what stands behind CREATE TABLE or ALTER TABLE.
func (p phrase) table() (phrase, bool) {
	rest := p.skip("create").skip("alter").skip("or", "replace").skip("global").skip("local").skip("temporary").skip("temp").skip("unlogged").
		skip("online").skip("ignore")
	return rest.from(1), p.hasOne("create", "alter") && rest.has("table")
}

// copiesRows tells whether it makes a table of a query, which begins with AS; MySQL and MariaDB can do without that word. Within parentheses AS
// makes a column.
func (p phrase) copiesRows() bool {
	rest, ok := p.table()
	if !ok || !p.has("create") {
		return false
	}
	bare := p.dialect == dialect.MySQL || p.dialect == dialect.MariaDB
	depth := 0
	for _, t := range rest.tokens {
		switch {
		case t.Kind == lexer.Punct && t.Text == "(":
			depth++
		case t.Kind == lexer.Punct && t.Text == ")":
			depth--
		case t.Is("select"), depth == 0 && (t.Is("as") || bare && (t.Is("table") || t.Is("values"))):
			return true
		}
	}
	return false
}

// setsCounter tells whether it says where a sequence, or a column that counts, goes on.
func (p phrase) setsCounter() bool {
	if p.has("alter", "sequence") {
		return p.from(3).contains("restart") // behind the name
	}
	rest, ok := p.table()
	for i := 0; ok && i < len(rest.tokens); i++ {
		if rest.from(i).startsCount() || p.has("alter") && i > 0 && rest.from(i-1).restarts() {
			return true
		}
	}
	return false
}

// startsCount tells whether the phrase begins with AUTO_INCREMENT = n. 1 is where counting starts anyway.
func (p phrase) startsCount() bool {
	next := p.from(1)
	if len(next.tokens) > 0 && next.tokens[0].Text == "=" {
		next = next.from(1)
	}
	return p.has("auto_increment") && len(next.tokens) > 0 && next.tokens[0].Kind == lexer.Number && next.tokens[0].Text != "1"
}

// restarts tells whether RESTART stands behind the first word as what is done to a column, and not as a column's name.
func (p phrase) restarts() bool {
	next := p.from(2)
	switch {
	case !p.from(1).has("restart"), p.tokens[0].Kind == lexer.Punct, p.hasOne("column", "add", "drop", "exists", "to"):
		return false
	}
	return len(next.tokens) == 0 || next.has("with") || next.punct(",") || next.tokens[0].Kind == lexer.Number
}

func isServerWide(t lexer.Token) bool {
	for _, w := range []string{"role", "user", "group", "database", "tablespace", "system"} {
		if t.Is(w) {
			return true
		}
	}
	return false
}
