package migrate

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/source"
)

// migration is one version of a source, as it is in the files now.
type migration struct {
	ref      Ref
	name     string
	up, down *script // down may be nil
	checksum string  // of up; "" for code without
	depends  []Ref
	env      []string
	path     string
	app      string            // the oldest version of the app that works with it
	squashes []source.Squashed // the migrations that it stands for, itself included

	repeatable bool // it runs again when its checksum changes
}

// set is all migrations of all sources, in the order of the sources and of their versions.
type set struct {
	all      []*migration
	byRef    map[Ref]*migration // by key
	problems []Problem          // with a problem a part of the set is missing
	verdict  *verdict           // of Options.Check, nil before it was asked
}

// key is how versions are compared: 007 and 7 are one.
func key(r Ref) Ref {
	number := strings.TrimLeft(string(r.Version), "0")
	if number == "" {
		number = "0"
	}
	return Ref{Source: r.Source, Version: Version(number)}
}

// get returns a migration, or the one that stands for it since a squash.
func (s *set) get(r Ref) *migration { return s.byRef[key(r)] }

// own returns a migration, and not what stands for it.
func (s *set) own(r Ref) *migration {
	if mig := s.get(r); mig != nil && key(mig.ref) == key(r) {
		return mig
	}
	return nil
}

// of returns the migration whose file was applied when the row was written.
func (s *set) of(r *row) *migration {
	if mig := s.own(r.ref); mig != nil && (len(mig.squashes) == 0 || mig.checksum == r.checksum) {
		return mig
	}
	return nil
}

// same tells whether a row is of the migration as it is now, or of one that it stands for.
func (mig *migration) same(r *row) bool {
	if r.checksum == "" || mig.checksum == "" || r.checksum == mig.checksum && key(r.ref) == key(mig.ref) {
		return true
	}
	for _, old := range mig.squashes {
		if key(Ref{Source: mig.ref.Source, Version: old.Version}) == key(r.ref) && old.Checksum == shortSum(r.checksum) {
			return true
		}
	}
	return false
}

// standsFor are the versions that a squash stands for besides its own, each once.
func (mig *migration) standsFor() (all []Version) {
	for _, old := range mig.squashes {
		if key(Ref{Version: old.Version}) != key(Ref{Version: mig.ref.Version}) && !slices.Contains(all, old.Version) {
			all = append(all, old.Version)
		}
	}
	return all
}

// shortSum is what a squash keeps of a checksum.
func shortSum(checksum string) string { return limit(strings.TrimPrefix(checksum, "sha256:"), 12) }

// load reads the sources.
func (m *Migrator) load() *set {
	s := &set{byRef: map[Ref]*migration{}}
	for _, src := range m.opts.Sources {
		migrations, err := m.loadSource(src)
		if err != nil {
			s.problems = append(s.problems, flatten(err)...)
			continue
		}
		for _, mig := range migrations {
			if other := s.get(mig.ref); other != nil {
				s.problems = append(s.problems, Problem{Ref: mig.ref, Path: mig.path, Msg: "its version is also that of " + other.path,
					Hint: "give one of them another version", Err: ErrLedger})
				continue
			}
			s.byRef[key(mig.ref)] = mig
			s.all = append(s.all, mig)
		}
	}
	for _, mig := range s.all {
		s.standIn(mig)
	}
	return s
}

// standIn makes a squash be found under the versions that it stands for.
func (s *set) standIn(mig *migration) {
	for _, old := range mig.squashes {
		ref := Ref{Source: mig.ref.Source, Version: old.Version}
		if other := s.get(ref); other != nil && other != mig {
			s.problems = append(s.problems, Problem{Ref: ref, Path: other.path, Msg: "the squash " + mig.path + " stands for it",
				Hint: "remove its files, which are needed no more", Err: ErrSquash})
			continue
		}
		s.byRef[key(ref)] = mig
	}
}

// flatten takes joined errors apart, so that each is a problem.
func flatten(err error) []Problem {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []Problem
		for _, e := range joined.Unwrap() {
			all = append(all, flatten(e)...)
		}
		return all
	}
	return []Problem{{Err: err}}
}

func (m *Migrator) loadSource(src Source) ([]*migration, error) {
	var all []*migration
	var errs []error
	if src.FS != nil {
		opts := &source.Options{Lexer: m.opts.Lexer}
		found, err := source.Load(src.FS, m.dialect, opts)
		if err != nil {
			errs = append(errs, fmt.Errorf("%w", err))
			if joined, ok := err.(interface{ Unwrap() []error }); ok {
				errs = joined.Unwrap()
			}
		}
		for _, f := range found {
			all = append(all, fromFile(src.Name, f, opts))
		}
	}
	for _, f := range src.Loaded {
		all = append(all, fromFile(src.Name, f, &source.Options{Lexer: m.opts.Lexer}))
	}
	for _, g := range src.Go {
		mig, err := fromCode(src.Name, g)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, mig)
	}
	for _, mig := range all {
		if len(mig.ref.Version) > maxVersion || len(mig.name) > maxName || len(mig.app) > maxApp {
			errs = append(errs, fmt.Errorf("%s: the ledger holds versions up to %d digits, names up to %d bytes and versions of an app up to %d", mig.ref,
				maxVersion, maxName, maxApp))
		}
	}
	slices.SortStableFunc(all, func(a, b *migration) int { return a.ref.Version.Compare(b.ref.Version) })
	return all, errors.Join(errs...)
}

func fromFile(name string, f source.Migration, opts *source.Options) *migration {
	mig := &migration{ref: Ref{Source: name, Version: f.Version}, name: f.Name, checksum: f.Up.Checksum, path: f.Up.Path, env: f.Up.Header.Env}
	mig.up = &script{path: f.Up.Path, sql: f.Up, noTx: f.Up.Header.NoTransaction, opts: opts}
	if f.Down != nil {
		mig.down = &script{path: f.Down.Path, sql: f.Down, noTx: f.Down.Header.NoTransaction, opts: opts}
	}
	mig.depends, mig.squashes = qualify(name, f.Up.Header.Depends), f.Up.Header.Squashes
	mig.app, mig.repeatable = f.Up.Header.RequiresApp, f.Up.Header.Repeatable
	return mig
}

func qualify(name string, refs []Ref) []Ref {
	refs = slices.Clone(refs)
	for i := range refs {
		if refs[i].Source == "" {
			refs[i].Source = name
		}
	}
	return refs
}

func fromCode(name string, g GoMigration) (*migration, error) {
	ref := Ref{Source: name, Version: g.Version}
	if _, err := source.ParseVersion(string(g.Version)); err != nil {
		return nil, fmt.Errorf("migrate: a migration in Go of the source %q: %w", name, err)
	}
	if g.Up == nil {
		return nil, fmt.Errorf("migrate: %s: a migration in Go needs Up", ref)
	}
	mig := &migration{ref: ref, name: g.Name, path: cmp.Or(g.Path, "Go code"), depends: qualify(name, g.Depends), env: g.Env, app: g.RequiresApp, repeatable: g.Repeatable}
	if _, err := source.ParseAppVersion(g.RequiresApp); err != nil && g.RequiresApp != "" {
		return nil, fmt.Errorf("migrate: %s: RequiresApp: %w", ref, err)
	}
	if g.Repeatable && g.Checksum == "" {
		return nil, fmt.Errorf("migrate: %s: what is Repeatable needs a Checksum, to see when it changes", ref)
	}
	if g.NoTransaction && g.DataOnly {
		return nil, fmt.Errorf("migrate: %s: DataOnly is one transaction, and NoTransaction is none: take one of them", ref)
	}
	if g.Checksum != "" {
		mig.checksum = "go:" + g.Checksum
		if len(mig.checksum) > maxChecksum {
			return nil, fmt.Errorf("migrate: %s: Checksum is longer than %d bytes", ref, maxChecksum-len("go:"))
		}
	}
	mig.up = &script{path: mig.path, code: g.Up, noTx: g.NoTransaction, data: g.DataOnly}
	if g.Down != nil {
		mig.down = &script{path: mig.path, code: g.Down, noTx: g.NoTransaction, data: g.DataOnly}
	}
	return mig, nil
}

// maxStoredDown is the largest down script that the ledger keeps: such text travels with each ledger row, and larger ones are data.
const maxStoredDown = 1 << 20

// text returns what the ledger keeps of a down script: all of it with its one header that matters, or "" if it can't be kept.
func (s *script) text(d dialect.Dialect) (text string, ok bool, err error) {
	if s == nil || s.sql == nil || s.sql.Size > maxStoredDown {
		return "", false, nil
	}
	r, err := s.sql.Open()
	if err != nil {
		return "", false, fmt.Errorf("migrate: read %s: %w", s.path, err)
	}
	defer r.Close()
	all, err := io.ReadAll(r)
	if err != nil {
		return "", false, fmt.Errorf("migrate: read %s: %w", s.path, err)
	}
	if !utf8.Valid(all) && d != dialect.SQLite {
		return "", false, nil // a server refuses such text, and with it the row
	}
	text = strings.TrimLeft(strings.TrimPrefix(string(all), "\ufeff"), " \t\r\n")
	if s.noTx {
		text = "-- no-transaction\n" + text
	}
	return text, true, nil
}

// fromText makes a script of what text returned.
func (m *Migrator) fromText(ref Ref, text string) (*script, error) {
	opts := &source.Options{Lexer: m.opts.Lexer}
	path := "ledger:" + ref.String()
	sql, err := source.FromText(path, text, m.dialect, opts)
	if err != nil {
		return nil, err
	}
	return &script{path: path, sql: sql, noTx: sql.Header.NoTransaction, opts: opts, stored: true}, nil
}
