package lint_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
	"github.com/buffkit/buffkit/migrate/lint"
)

// find returns the finding of a rule, nil if there is none.
func find(findings []lint.Finding, rule string) *lint.Finding {
	for i := range findings {
		if findings[i].Rule == rule {
			return &findings[i]
		}
	}
	return nil
}

func TestSizesWeigh(t *testing.T) {
	t.Parallel()
	const index = "index-not-concurrent"
	tests := []struct {
		name string
		opts lint.Options
		want lint.Severity
		rows int64
	}{
		{"nobody knows the size", lint.Options{}, lint.Warning, -1},
		{"the table isn't known", lint.Options{Rows: func(string) (int64, bool) { return 5, false }}, lint.Warning, -1},
		{"small", lint.Options{Rows: func(string) (int64, bool) { return 9_999, true }}, lint.Info, 9_999},
		{"between", lint.Options{Rows: func(string) (int64, bool) { return 10_000, true }}, lint.Warning, 10_000},
		{"large", lint.Options{Rows: func(string) (int64, bool) { return 1_000_000, true }}, lint.Error, 1_000_000},
		{"large by the user's measure", lint.Options{Rows: func(string) (int64, bool) { return 50, true }, SmallTable: 10, LargeTable: 50}, lint.Error, 50},
		{"large, but the severity is set", lint.Options{Rows: func(string) (int64, bool) { return 1_000_000, true },
			Severities: map[string]lint.Severity{index: lint.Info}}, lint.Info, 1_000_000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := find(lintText(t, `CREATE INDEX i ON app."Orders" (a);`, dialect.Postgres, &tt.opts), index)
			if f == nil || f.Severity != tt.want || f.Rows != tt.rows || f.Table != "app.Orders" {
				t.Errorf("%+v", f)
			}
		})
	}
}

func TestARuleIsTurnedOff(t *testing.T) {
	t.Parallel()
	opts := &lint.Options{Severities: map[string]lint.Severity{"drop-table": lint.Off, "lock-timeout": lint.Error}}
	findings := lintText(t, "DROP TABLE t;", dialect.Postgres, opts)
	if find(findings, "drop-table") != nil || find(findings, "lock-timeout").Severity != lint.Error {
		t.Errorf("%+v", findings)
	}
}

func TestOptionsThatCantBeRight(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, want string
		opts       lint.Options
	}{
		{"a rule that isn't there", "did you mean drop-table?", lint.Options{Severities: map[string]lint.Severity{"drop-tables": lint.Off}}},
		{"a version without a number", "write it as 16.4", lint.Options{Version: "latest"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := lint.Check(nil, dialect.Postgres, &tt.opts)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
	for _, version := range []string{"16.4", "16beta1", "8.0.36-0ubuntu0.22.04.1", "5.5.5-10.11.6-MariaDB-log", "3.45.1"} {
		if _, err := lint.Check(nil, dialect.MariaDB, &lint.Options{Version: version}); err != nil {
			t.Error(err)
		}
	}
}

func TestAScriptThatCantBeTakenApart(t *testing.T) {
	t.Parallel()
	m := lint.Migration{Up: lint.Script{Path: "x.sql", Statements: lexer.Split(strings.NewReader("DROP TABLE t; SELECT 'a"), dialect.Postgres, nil)}}
	findings, err := lint.Check([]lint.Migration{m}, dialect.Postgres, nil)
	if !errors.Is(err, lexer.ErrUnterminated) || findings != nil {
		t.Errorf("%v, %v", findings, err)
	}
}

func TestAFindingShowsItsPlace(t *testing.T) {
	t.Parallel()
	findings := lintText(t, "SELECT 1;\n\n-- é\n  /* é */ drop\ttable\n\"é\", u;", dialect.SQLite, nil)
	if len(findings) != 2 {
		t.Fatalf("%+v", findings)
	}
	if at := findings[1].Pos.String(); at != "db/00 1.up.sql:5:6" || findings[1].Number != 2 || findings[1].Statement != `drop table "é", u` {
		t.Errorf("%s, %+v", at, findings[1])
	}
}

// A migration that has run isn't judged, but what it has made is known.
func TestAppliedMigrationsAreKnown(t *testing.T) {
	t.Parallel()
	script := func(path, sql string) lint.Script {
		return lint.Script{Path: path, Statements: lexer.Split(strings.NewReader(sql), dialect.MySQL, nil)}
	}
	none := script("x.down.sql", "")
	migrations := []lint.Migration{
		{Up: script("1.up.sql", "CREATE TABLE t (a varchar(300)); DROP TABLE u;"), Applied: true},
		{Up: script("2.up.sql", "SET lock_wait_timeout = 5; ALTER TABLE t MODIFY a varchar(400);"), Down: &none},
	}
	findings, err := lint.Check(migrations, dialect.MySQL, nil)
	if err != nil || lint.Failed(findings, lint.Warning) {
		t.Errorf("%+v, %v", findings, err)
	}
}

func TestSeverityIsAWord(t *testing.T) {
	t.Parallel()
	for _, s := range []lint.Severity{lint.Off, lint.Info, lint.Warning, lint.Error} {
		text, err := s.MarshalText()
		if err != nil || string(text) != s.String() {
			t.Errorf("%v: %s, %v", s, text, err)
		}
		var back lint.Severity
		if err := back.UnmarshalText(text); err != nil || back != s {
			t.Errorf("%s is %v, %v", text, back, err)
		}
	}
	if _, err := lint.ParseSeverity("fatal"); err == nil {
		t.Error("fatal is a severity")
	}
	if lint.Severity(9).String() != "unknown" {
		t.Error("9 is a severity")
	}
}

func TestRulesAreACopy(t *testing.T) {
	t.Parallel()
	lint.Rules()[0].Dialects[0] = dialect.SQLite
	if lint.Rules()[0].Dialects[0] == dialect.SQLite {
		t.Error("one caller's change shows at another")
	}
}
