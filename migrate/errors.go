package migrate

import (
	"errors"
	"fmt"
	"strings"
)

// What can be wrong with a plan, or with a run. Look for them with errors.Is.
var (
	// ErrDrift: a file isn't any more what was applied.
	ErrDrift = errors.New("migrate: changed after it was applied")
	// ErrMissing: the ledger has a migration that its source doesn't have.
	ErrMissing = errors.New("migrate: applied, but its file is missing")
	// ErrOutOfOrder: a migration that is pending has a lower version than one that was applied.
	ErrOutOfOrder = errors.New("migrate: out of order")
	// ErrCycle: migrations depend on each other.
	ErrCycle = errors.New("migrate: dependencies go in a circle")
	// ErrDepends: a migration depends on one that isn't there, or that stays.
	ErrDepends = errors.New("migrate: dependency")
	// ErrNoDown: there is nothing that undoes a migration.
	ErrNoDown = errors.New("migrate: no way down")
	// ErrUnknown: no migration has this source and version.
	ErrUnknown = errors.New("migrate: no such migration")
	// ErrUnfinished: a migration was begun and must be finished first.
	ErrUnfinished = errors.New("migrate: unfinished migration")
	// ErrTransaction: a file has commands to the transaction that the runner can't allow, or statements that can't be in one.
	ErrTransaction = errors.New("migrate: transaction")
	// ErrLedger: the ledger holds what the runner hasn't written, or isn't a ledger.
	ErrLedger = errors.New("migrate: bad ledger")
	// ErrLocked: another runner held the lock for longer than Options.LockWait. The error is a *LockedError.
	ErrLocked = errors.New("migrate: another runner holds the lock")
	// ErrLockLost: the lock ended during a run, since its connection did or its lease was over. Nothing more was begun.
	ErrLockLost = errors.New("migrate: the lock was lost")
	// ErrPooler: a pooler in transaction mode stands in front of the server, and Options.Lock isn't LeaseLock. Nothing was run.
	ErrPooler = errors.New("migrate: a pooler is in the way")
	// ErrUnclear: a statement may have been executed or not, and only you can find out. The error of a run is an *UnclearError; of Adopt
	// the statement is COMMIT.
	ErrUnclear = errors.New("migrate: unclear whether a statement was executed")
	// ErrChanged: a file changed between the plan and the run.
	ErrChanged = errors.New("migrate: the file changed while it ran")
	// ErrApp: the schema needs a newer version of the app. The error is an *AppError.
	ErrApp = errors.New("migrate: the app is too old for this schema")
	// ErrCheck: Options.Check has something against the plan.
	ErrCheck = errors.New("migrate: refused by a check")
	// ErrSquash: migrations can't be squashed, or a database has a part of those that were.
	ErrSquash = errors.New("migrate: squash")
	// ErrUnadopted: another tool has applied migrations of a source, by its own ledger, and ours knows nothing of it. See Adopt.
	ErrUnadopted = errors.New("migrate: applied by another tool")
	// ErrForeignKeys: a migration of SQLite would leave rows that refer to nothing.
	ErrForeignKeys = errors.New("migrate: broken references")
)

// Problem is one thing that is wrong with a plan.
type Problem struct {
	Ref  Ref    // the migration; may be empty
	Path string // its file; may be empty
	Msg  string // what is wrong, one line
	Hint string // what to do; may be empty
	Err  error  // one of this package's, or a *lexer.Error or *source.FileError, which say it all
}

// String returns the problem with its place and what to do.
func (p Problem) String() string {
	if p.Msg == "" && p.Err != nil {
		return p.Err.Error()
	}
	text := p.Msg
	switch {
	case p.Ref.Version != "" && p.Path != "":
		text = fmt.Sprintf("%s (%s): %s", p.Ref, p.Path, text)
	case p.Ref.Version != "":
		text = fmt.Sprintf("%s: %s", p.Ref, text)
	}
	if p.Hint != "" {
		text += "\n    " + p.Hint
	}
	return text
}

// PlanError is all that is wrong with a plan. Nothing was run.
type PlanError struct {
	Problems []Problem

	unfinished bool // in the ledger that it was made of: another runner may be in the middle of something
}

// Error lists the problems.
func (e *PlanError) Error() string {
	var b strings.Builder
	switch n := len(e.Problems); n {
	case 1:
		b.WriteString("nothing was run, since something is wrong:\n")
	default:
		fmt.Fprintf(&b, "nothing was run, since %d things are wrong:\n", n)
	}
	for _, p := range e.Problems {
		b.WriteString("\n" + p.String() + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

// Unwrap returns the errors of the problems.
func (e *PlanError) Unwrap() []error {
	var errs []error
	for _, p := range e.Problems {
		if p.Err != nil {
			errs = append(errs, p.Err)
		}
	}
	return errs
}

// Left is what a failed migration has left behind.
type Left string

// What a failed migration can leave.
const (
	LeftNothing Left = "nothing" // its transaction was rolled back
	LeftPart    Left = "part"    // some of its statements took effect; the next up goes on behind them
	LeftUnclear Left = "unclear" // the connection was lost when it mattered; the next up finds out
	LeftAll     Left = "all"     // it is applied, although the run ended in an error
)

// StepError is a migration that failed.
type StepError struct {
	Ref       Ref
	Direction Direction
	Statement int   // which one failed, from 1; 0 if none did
	Of        int   // how many there are
	Left      Left  // "" if Err says it
	Done      int   // of how many statements the effect stands, if Left is LeftPart
	Applied   int   // steps of this run before it that are complete
	Err       error // a *lexer.Error with the place in the file if a statement failed
	Note      string
}

// Error says what failed, and in which state the database is.
func (e *StepError) Error() string {
	var b strings.Builder
	what := fmt.Sprintf("%s of %s failed", e.Direction, e.Ref)
	if e.Statement > 0 {
		what += fmt.Sprintf(" at statement %d of %d", e.Statement, e.Of)
	}
	fmt.Fprintf(&b, "%s: %v", what, e.Err)
	if e.Left != "" {
		b.WriteString("\n")
	}
	switch e.Left {
	case LeftNothing:
		b.WriteString("Nothing of it is left in the database.")
	case LeftPart:
		fmt.Fprintf(&b, "%s of its statements took effect and can't be rolled back; the journal knows it. "+
			"The next run goes on behind them: correct the file from there on only.", ofStatements(e.Done, e.Of))
	case LeftUnclear:
		b.WriteString("The connection was lost when it mattered, so it isn't known here whether it took effect. The next run finds out first.")
	case LeftAll:
		b.WriteString("It took effect as a whole, and the ledger says so.")
	}
	if e.Note != "" {
		b.WriteString("\n" + e.Note)
	}
	if e.Applied > 0 {
		fmt.Fprintf(&b, "\n%s before it in this run stays.", count(e.Applied, "migration"))
	}
	return b.String()
}

func (e *StepError) Unwrap() error { return e.Err }

func ofStatements(done, of int) string {
	if of == 0 {
		return fmt.Sprint(done)
	}
	return fmt.Sprintf("%d of %d", done, of)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// LockedError is in the error of a run that waited for the lock for too long, or not at all.
type LockedError struct{ Holder Holder }

// Error says who holds the lock.
func (e *LockedError) Error() string {
	return "another runner holds the lock: " + e.Holder.String() + "\nWait for it, or raise Options.LockWait (--lock-wait)."
}

// Is tells that it is ErrLocked.
func (e *LockedError) Is(target error) bool { return target == ErrLocked }

// UnclearError is a statement of which nobody but you can tell whether it was executed: the runner died while the server had it.
type UnclearError struct {
	Ref       Ref
	Statement int
	SQL       string // its beginning
	Check     string // what to look at
}

// Error says what to look at and which repair to call.
func (e *UnclearError) Error() string {
	return fmt.Sprintf("a run was interrupted while the server had statement %d of %s, and the catalog can't tell whether it took effect:\n"+
		"    %s\n%s\nIf it took effect:   buffkit migrate repair %[2]s --statement %[1]d --done      Repair{Ref, Done, Statement: %[1]d}\n"+
		"If it didn't:        buffkit migrate repair %[2]s --statement %[1]d --not-done  Repair{Ref, NotDone, Statement: %[1]d}\n"+
		"Then run it again. Nothing was run now.", e.Statement, e.Ref, e.SQL, e.Check)
}

// Is tells that it is ErrUnclear.
func (e *UnclearError) Is(target error) bool { return target == ErrUnclear }
