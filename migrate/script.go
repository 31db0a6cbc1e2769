package migrate

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
	"github.com/buffkit/buffkit/migrate/source"
)

// script is one direction of a migration.
type script struct {
	path   string
	sql    *source.Script                         // nil if it is code
	code   func(ctx context.Context, db DB) error // nil if it is SQL
	noTx   bool
	data   bool // code that changes rows only
	stored bool // from the ledger, since there is no file
	opts   *source.Options
	shape  *shape // once it was looked through without a fault
}

func (s *script) statements() iter.Seq2[lexer.Statement, error] {
	if s.sql == nil {
		return func(func(lexer.Statement, error) bool) {}
	}
	return s.sql.Statements(s.opts)
}

// mark is a part of a statement's hash: enough to see that a file isn't the same any more.
type mark uint64

func markOf(sql string) mark {
	if strings.Contains(sql, "\r") {
		sql = strings.ReplaceAll(sql, "\r\n", "\n") // a checkout may change those
	}
	sum := sha256.Sum256([]byte(sql))
	return mark(binary.BigEndian.Uint64(sum[:8]))
}

// markOfAll is for a block.
func markOfAll(marks []mark) string {
	h := sha256.New()
	var b [8]byte
	for _, m := range marks {
		binary.BigEndian.PutUint64(b[:], uint64(m))
		h.Write(b[:])
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:16])
}

// shape is what a look through a script has shown. It holds 9 bytes for each statement, and not their text.
type shape struct {
	marks   []mark
	natures []nature
	atomic  bool // one transaction, with its row in the ledger
	fkOff   bool // SQLite: foreign keys off around it
	resets  bool // it changes its connection, which nobody else should get
	loose   bool // MySQL, MariaDB: it makes a table whose rows no transaction rolls back
	temp    int  // the first statement that makes a temporary table, 0 if none does
	notes   []string
	tables  []object // that it names; with Options.Monitor
}

func (s *shape) n() int { return len(s.marks) }

// mention adds tables; in SQLite, which measures only the whole, one is enough.
func (s *shape) mention(all []object, d dialect.Dialect) {
	for _, o := range all {
		if !slices.Contains(s.tables, o) && (d != dialect.SQLite || len(s.tables) == 0) {
			s.tables = append(s.tables, o)
		}
	}
}

// sent tells whether a statement goes to the server: not those that the runner does itself.
func (s *shape) sent(i int) bool {
	switch s.natures[i] {
	case begins, commits:
		return false
	case pragma:
		return !s.atomic
	}
	return true
}

// survey goes through a script and finds what is wrong with it.
func (m *Migrator) survey(s *script) (*shape, error) {
	if s.shape == nil {
		sh, err := m.look(s)
		if err != nil {
			return nil, err
		}
		s.shape = sh
	}
	sh := *s.shape // a plan may change its own
	return &sh, nil
}

func (m *Migrator) look(s *script) (*shape, error) {
	sh := &shape{}
	if s.code != nil {
		return m.surveyCode(s), nil
	}
	v := surveyor{shape: sh, script: s, dialect: m.dialect, dropped: map[string]bool{}}
	for st, err := range s.statements() {
		if err != nil {
			return nil, err
		}
		v.take(st, classify(st, m.dialect))
		if m.opts.Monitor && len(sh.tables) < maxMeasured {
			sh.mention(tablesOf(st, m.dialect), m.dialect)
		}
	}
	return sh, v.finish()
}

func (m *Migrator) surveyCode(s *script) *shape {
	if s.data {
		return &shape{marks: []mark{0}, natures: []nature{inTx}, atomic: true, notes: []string{"code that changes rows: which isn't known before it runs"}}
	}
	return &shape{
		marks: []mark{0}, natures: []nature{alone}, atomic: !s.noTx && m.server.rollsBackDDL(), resets: true,
		notes: []string{"code: what it does isn't known before it runs"},
	}
}

type surveyor struct {
	*shape
	script  *script
	dialect dialect.Dialect
	dropped map[string]bool
	alone   bool
	pairs   []lexer.Statement
	errs    []error
}

func (v *surveyor) take(st lexer.Statement, s statement) {
	if (s.code || s.loner) && v.script.noTx {
		s.nature = alone // who asks for no transaction may have commits in the code
	}
	v.marks = append(v.marks, markOf(st.SQL))
	v.natures = append(v.natures, s.nature)
	n := len(v.marks)
	if s.temp && v.temp == 0 {
		v.temp = n
	}
	switch s.nature {
	case begins, commits:
		v.pairs = append(v.pairs, st)
		if s.kind {
			v.refuse(st, "the transaction is the runner's to begin, and wouldn't be of this kind", "take BEGIN and COMMIT out, and write SET TRANSACTION … as the first statement"+
				" (MySQL, MariaDB: SET SESSION TRANSACTION …)")
		}
	case control:
		v.refuse(st, "the runner has the say over transactions and table locks",
			"take it out; a migration is in one transaction where the database allows it, and only one runner works at a time")
	case alone:
		v.alone = true
		v.loose = v.loose || (v.dialect == dialect.MySQL || v.dialect == dialect.MariaDB) && makesLoose(st)
		v.takeAlone(st, s)
	case session:
		v.resets = true
		if v.dialect == dialect.SQLite && s.why == "ATTACH and DETACH" && !v.script.noTx {
			v.refuse(st, s.why+" can't run in a transaction", noTxHint)
		}
	case pragma:
		v.fkOff = v.fkOff || s.fkOff
	}
	if v.dialect == dialect.Postgres && (strings.Contains(st.SQL, "set_config") || strings.Contains(st.SQL, "SET_CONFIG")) {
		v.resets = true
	}
	if s.drops != "" {
		v.dropped[s.drops] = true
	} else if s.renames != "" && v.dropped[s.renames] {
		v.fkOff = true
	}
}

const noTxHint = "write -- no-transaction at the top of the file, best in a migration of its own"

func (v *surveyor) takeAlone(st lexer.Statement, s statement) {
	if !v.script.noTx && (v.dialect == dialect.Postgres || v.dialect == dialect.SQLite) {
		v.refuse(st, s.why+" can't run in a transaction", noTxHint)
	}
}

func (v *surveyor) refuse(st lexer.Statement, msg, hint string) {
	v.errs = append(v.errs, st.Fault(int(st.Pos.Offset-st.Locate(0).Offset), msg, hint, ErrTransaction))
}

// finish allows BEGIN and COMMIT around the whole script alone.
func (v *surveyor) finish() error {
	if len(v.pairs) > 0 {
		first, last := -1, -1
		for i, n := range v.natures {
			if n == pragma {
				continue
			}
			if first < 0 {
				first = i
			}
			last = i
		}
		whole := len(v.pairs) == 2 && v.natures[first] == begins && v.natures[last] == commits
		if !whole || v.script.noTx {
			hint := "take BEGIN and COMMIT out: a migration is in one transaction anyway"
			if v.script.noTx {
				hint = "take BEGIN and COMMIT out, or the header no-transaction"
			}
			v.refuse(v.pairs[0], "a transaction within the file is the runner's to begin and to end", hint)
		}
	}
	v.atomic = !v.script.noTx && (!v.alone || v.dialect == dialect.Postgres || v.dialect == dialect.SQLite)
	if v.fkOff = v.fkOff && v.atomic; v.fkOff {
		v.notes = append(v.notes, "foreign keys are off around it, and checked before it commits")
	}
	return errors.Join(v.errs...)
}

// block is a run of statements, numbers from 1, that take effect together.
type block struct {
	first, last int
	tx          bool
	nature      nature
}

// apart returns the shape of a script none of whose statements can be rolled back: each is announced, and none is part of a transaction.
func (s *shape) apart(why string) *shape {
	natures := make([]nature, len(s.natures))
	for i, n := range s.natures {
		if n == inTx {
			n = alone
		}
		natures[i] = n
	}
	other := *s
	other.natures, other.atomic = natures, other.atomic && len(natures) == 0
	other.notes = append(s.notes[:len(s.notes):len(s.notes)], why)
	return &other
}

// blocks cuts what comes behind the first `done` statements.
func (s *shape) blocks(done int, d dialect.Dialect) []block {
	if s.atomic {
		return []block{{first: 1, last: s.n(), tx: true}}
	}
	grouped := d == dialect.MySQL || d == dialect.MariaDB // their files never ask for a transaction of each statement
	var all []block
	for i := done; i < s.n(); i++ {
		n := s.natures[i]
		tx := n == inTx
		if last := len(all) - 1; grouped && tx && last >= 0 && all[last].tx {
			all[last].last = i + 1
			continue
		}
		all = append(all, block{first: i + 1, last: i + 1, tx: tx, nature: n})
	}
	return all
}
