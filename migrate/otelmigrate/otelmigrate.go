// Package otelmigrate makes OpenTelemetry spans of migrations: one for a run, under it one for each migration, and under these one for
// each statement.
//
//	spans := otelmigrate.New(provider, nil)
//	m, err := migrate.New(db, dialect.Postgres, &migrate.Options{Sources: …, Hooks: spans.Hooks(migrate.Hooks{})})
//	res, err := spans.Run(ctx, m, migrate.Goal{Do: migrate.DoUp})
//
// It is a module of its own, since OpenTelemetry is a tree of modules that not everybody wants.
package otelmigrate

import (
	"context"
	"sync"

	"github.com/buffkit/buffkit/migrate"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Options of New. nil and zero fields mean the defaults.
type Options struct {
	// QueryText adds the text of each statement as db.query.text, and errors and waits in full, with the statement's line and the server's message. Off
	// by default, since data may be in them: then an error is the migration, the statement's number, its place in the file, what kind of error it is
	// and the server's code.
	QueryText bool
}

// Spans makes the spans of one Migrator, whose runs mustn't overlap within this process.
type Spans struct {
	tracer trace.Tracer
	opts   Options

	mu        sync.Mutex // guards what follows
	run       context.Context
	step      context.Context // nil outside of a migration
	statement trace.Span
}

// New takes the provider of the app; nil is the global one.
func New(p trace.TracerProvider, o *Options) *Spans {
	if p == nil {
		p = otel.GetTracerProvider()
	}
	s := &Spans{tracer: p.Tracer("github.com/buffkit/buffkit/migrate/otelmigrate"), run: context.Background()}
	if o != nil {
		s.opts = *o
	}
	return s
}

// Run is Migrator.Run within a span. Without it each migration is a root.
func (s *Spans) Run(ctx context.Context, m *migrate.Migrator, goal migrate.Goal) (*migrate.Result, error) {
	ctx, span := s.tracer.Start(ctx, "migrate "+string(goal.Do), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(system(m.Dialect().String())))
	defer span.End()
	s.enter(ctx)
	defer s.enter(context.Background())
	res, err := m.Run(ctx, goal)
	if res != nil {
		span.SetAttributes(attribute.Int("migrate.steps", len(res.Steps)), attribute.Int64("migrate.lock_wait_ms", res.Waited.Milliseconds()))
	}
	s.failed(span, err)
	return res, err
}

func (s *Spans) enter(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run = ctx
}

// system is db.system.name of the semantic conventions, https://opentelemetry.io/docs/specs/semconv/registry/attributes/db/.
func system(dialect string) attribute.KeyValue {
	if dialect == "postgres" {
		dialect = "postgresql"
	}
	return attribute.String("db.system.name", dialect)
}

// Hooks returns hooks for Options.Hooks, which also call those of next.
func (s *Spans) Hooks(next migrate.Hooks) migrate.Hooks {
	h := next
	h.Waiting = func(holder migrate.Holder) {
		told := holder
		if !s.opts.QueryText {
			told.Statement = ""
		}
		s.event("waiting for another runner", attribute.String("migrate.lock_holder", told.String()))
		call(next.Waiting, holder)
	}
	h.Began = func(step *migrate.Step) {
		s.began(step)
		call(next.Began, step)
	}
	h.Statement = func(p migrate.Progress) {
		s.sent(p)
		call(next.Statement, p)
	}
	h.Retrying = func(r migrate.Retry) {
		attributes := []attribute.KeyValue{attribute.Int("migrate.attempt", r.Attempt)}
		if s.opts.QueryText { // a blocker's line ends in what it runs
			attributes = append(attributes, attribute.StringSlice("migrate.blockers", r.Blockers))
		}
		s.event("trying again", attributes...)
		call(next.Retrying, r)
	}
	h.Ended = func(step *migrate.Step, res migrate.StepResult, err error) {
		s.ended(res, err)
		if next.Ended != nil {
			next.Ended(step, res, err)
		}
	}
	return h
}

func call[T any](f func(T), v T) {
	if f != nil {
		f(v)
	}
}

// event goes to the span that is open, the innermost one.
func (s *Spans) event(name string, attributes ...attribute.KeyValue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx := s.run
	if s.step != nil {
		ctx = s.step
	}
	trace.SpanFromContext(ctx).AddEvent(name, trace.WithAttributes(attributes...))
}

func (s *Spans) began(step *migrate.Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.step, _ = s.tracer.Start(s.run, string(step.Direction)+" "+step.Ref.String(), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("migrate.source", step.Ref.Source), attribute.String("migrate.version", string(step.Ref.Version)), attribute.String("migrate.name", step.Name),
		attribute.String("migrate.direction", string(step.Direction)), attribute.Int("migrate.statements", step.Statements), attribute.Bool("migrate.atomic", step.Atomic)))
}

func (s *Spans) sent(p migrate.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.step == nil:
	case !p.Done:
		attributes := []attribute.KeyValue{attribute.Int("migrate.statement", p.N)}
		if s.opts.QueryText && p.SQL != "" {
			attributes = append(attributes, attribute.String("db.query.text", p.SQL))
		}
		_, s.statement = s.tracer.Start(s.step, "statement", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...))
	case s.statement != nil:
		if p.Rows >= 0 {
			s.statement.SetAttributes(attribute.Int64("migrate.rows", p.Rows))
		}
		s.failed(s.statement, p.Err)
		s.statement.End()
		s.statement = nil
	}
}

func (s *Spans) ended(res migrate.StepResult, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.step == nil {
		return
	}
	span := trace.SpanFromContext(s.step)
	span.SetAttributes(attribute.Int64("migrate.rows", res.Rows), attribute.Int("migrate.attempts", res.Attempts))
	s.failed(span, err)
	span.End()
	s.step = nil
}
