package otelmigrate

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/lexer"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// failed puts an error on a span. db.response.status_code is of the semantic conventions, as system is.
func (s *Spans) failed(span trace.Span, err error) {
	if err == nil {
		return
	}
	if code := codeOf(err); code != "" {
		span.SetAttributes(attribute.String("db.response.status_code", code))
	}
	if !s.opts.QueryText {
		err = errors.New(describe(err))
	}
	span.RecordError(err)
	span.SetStatus(codes.Error, err.Error())
}

// kinds are what an error can be, in words that hold no data.
var kinds = []error{
	migrate.ErrDrift, migrate.ErrMissing, migrate.ErrOutOfOrder, migrate.ErrCycle, migrate.ErrDepends, migrate.ErrNoDown, migrate.ErrUnknown, migrate.ErrUnfinished,
	migrate.ErrTransaction, migrate.ErrLedger, migrate.ErrLocked, migrate.ErrLockLost, migrate.ErrPooler, migrate.ErrUnclear, migrate.ErrChanged, migrate.ErrApp,
	migrate.ErrCheck, migrate.ErrSquash, migrate.ErrForeignKeys, migrate.ErrUnadopted,
	context.Canceled, context.DeadlineExceeded, driver.ErrBadConn,
}

// describe says what failed and where, without a word of a statement or of a server's message, either of which may hold data.
func describe(err error) string {
	var parts []string
	var step *migrate.StepError
	if errors.As(err, &step) {
		text := fmt.Sprintf("%s of %s failed", step.Direction, step.Ref)
		if step.Statement > 0 {
			text += fmt.Sprintf(" at statement %d of %d", step.Statement, step.Of)
		}
		parts = append(parts, text)
	}
	var plan *migrate.PlanError
	if errors.As(err, &plan) {
		parts = append(parts, fmt.Sprintf("nothing was run, problems of the plan: %d", len(plan.Problems)))
	}
	var at *lexer.Error
	if errors.As(err, &at) {
		parts = append(parts, at.Pos.String())
	}
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			parts = append(parts, kind.Error())
		}
	}
	if code := codeOf(err); code != "" {
		parts = append(parts, "the server's code "+code)
	}
	if len(parts) == 0 {
		return "failed; otelmigrate.Options.QueryText shows how"
	}
	return strings.Join(parts, ": ")
}

// mysqlCode is how an error of MySQL and MariaDB begins, whose driver has no method for its code.
var mysqlCode = regexp.MustCompile(`\bError (\d{4,5}) \(`)

// codeOf is the server's code of an error: an SQLSTATE of PostgreSQL, a number of the others, "" if there is none.
func codeOf(err error) string {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		return state.SQLState()
	}
	var number interface{ Code() int }
	if errors.As(err, &number) {
		return fmt.Sprint(number.Code())
	}
	if match := mysqlCode.FindStringSubmatch(err.Error()); match != nil {
		return match[1]
	}
	return ""
}
