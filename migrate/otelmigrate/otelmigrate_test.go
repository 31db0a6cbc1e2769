package otelmigrate_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/otelmigrate"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	_ "modernc.org/sqlite"
)

// migrated runs files of SQLite and returns the spans, by name.
func migrated(t *testing.T, o *otelmigrate.Options, next migrate.Hooks, files map[string]string) (spans map[string]tracetest.SpanStub, all tracetest.SpanStubs, err error) {
	t.Helper()
	exporter := tracetest.NewInMemoryExporter()
	provider := trace.NewTracerProvider(trace.WithSyncer(exporter))
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	traced := otelmigrate.New(provider, o)
	m, err := migrate.New(db, dialect.SQLite, &migrate.Options{Sources: []migrate.Source{{FS: fsys}}, Hooks: traced.Hooks(next)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, parent := provider.Tracer("test").Start(t.Context(), "deploy")
	_, err = traced.Run(ctx, m, migrate.Goal{Do: migrate.DoUp})
	parent.End()
	all = exporter.GetSpans()
	spans = map[string]tracetest.SpanStub{}
	for _, s := range all {
		spans[s.Name] = s
	}
	return spans, all, err
}

func attributes(s tracetest.SpanStub) map[string]string {
	all := map[string]string{}
	for _, a := range s.Attributes {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

func TestARunItsMigrationsAndTheirStatementsAreSpansWithinEachOther(t *testing.T) {
	t.Parallel()
	began := 0
	spans, all, err := migrated(t, nil, migrate.Hooks{Began: func(*migrate.Step) { began++ }},
		map[string]string{"1_a.up.sql": "CREATE TABLE a (n int);\nINSERT INTO a VALUES (1), (2);", "2_b.up.sql": "CREATE TABLE b (n int);"})
	if err != nil || len(all) != 7 || began != 2 {
		t.Fatalf("%d spans, %d, %v", len(all), began, err)
	}
	run, step := spans["migrate up"], spans["up app:1"]
	if run.Parent.SpanID() != spans["deploy"].SpanContext.SpanID() || step.Parent.SpanID() != run.SpanContext.SpanID() {
		t.Error("a span isn't within the one above it")
	}
	if got := attributes(run); got["db.system.name"] != "sqlite" || got["migrate.steps"] != "2" {
		t.Errorf("%v", got)
	}
	if got := attributes(step); got["migrate.source"] != "app" || got["migrate.version"] != "1" || got["migrate.name"] != "a" || got["migrate.rows"] == "" || got["migrate.statements"] != "2" {
		t.Errorf("%v", got)
	}
	statements := 0
	for _, s := range all {
		if s.Name == "statement" && s.Parent.SpanID() == step.SpanContext.SpanID() {
			if statements++; attributes(s)["db.query.text"] != "" {
				t.Error("the statement is shown")
			}
		}
	}
	if statements != 2 {
		t.Errorf("%d statements", statements)
	}
}

func TestAFailureIsOnEachSpanThatItEnds(t *testing.T) {
	t.Parallel()
	spans, _, err := migrated(t, &otelmigrate.Options{QueryText: true}, migrate.Hooks{}, map[string]string{"1_a.up.sql": "INSERT INTO nowhere VALUES (1);"})
	if err == nil {
		t.Fatal("it didn't fail")
	}
	for _, name := range []string{"migrate up", "up app:1", "statement"} {
		if s := spans[name]; s.Status.Code != codes.Error || len(s.Events) == 0 {
			t.Errorf("%s: %+v", name, s.Status)
		}
	}
	if text := attributes(spans["statement"])["db.query.text"]; text != "INSERT INTO nowhere VALUES (1)" {
		t.Errorf("%q", text)
	}
}

func TestNoDataIsInASpanUnlessItIsAskedFor(t *testing.T) {
	t.Parallel()
	files := map[string]string{"1_a.up.sql": "CREATE TABLE a (n text UNIQUE);\nINSERT INTO a VALUES ('secret');\nINSERT INTO a VALUES ('secret');"}
	spans, all, err := migrated(t, nil, migrate.Hooks{}, files)
	if err == nil || !strings.Contains(err.Error(), "secret") {
		t.Fatalf("it should have failed with the statement's line: %v", err)
	}
	for _, s := range all {
		if text := fmt.Sprintf("%+v %+v %+v", s.Status, s.Events, s.Attributes); strings.Contains(text, "secret") || strings.Contains(text, "INSERT") {
			t.Errorf("%s shows it: %s", s.Name, text)
		}
	}
	const want = "up of app:1 failed at statement 3 of 3: 1_a.up.sql:3:1: the server's code 2067" // SQLITE_CONSTRAINT_UNIQUE
	for _, name := range []string{"migrate up", "up app:1"} {
		if got := spans[name].Status.Description; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := attributes(spans["up app:1"])["db.response.status_code"]; got != "2067" {
		t.Errorf("the code %q", got)
	}
	spans, _, _ = migrated(t, &otelmigrate.Options{QueryText: true}, migrate.Hooks{}, files)
	if got := spans["up app:1"].Status.Description; !strings.Contains(got, "INSERT INTO a VALUES ('secret')") {
		t.Errorf("asked for, it isn't there: %q", got)
	}
}

func TestAPlanThatIsRefusedIsASpanWithoutItsText(t *testing.T) {
	t.Parallel()
	spans, _, err := migrated(t, nil, migrate.Hooks{}, map[string]string{"1_a.up.sql": "INSERT INTO a VALUES ('secret);"})
	if got := spans["migrate up"].Status.Description; err == nil || strings.Contains(got, "secret") || !strings.HasPrefix(got, "nothing was run, problems of the plan: 1: 1_a.up.sql:1:") {
		t.Errorf("%q, %v", got, err)
	}
}
