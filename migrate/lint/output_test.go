package lint_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
	"github.com/buffkit/buffkit/migrate/lint"
)

var writers = map[string]func(io.Writer, []lint.Finding) error{
	"text": lint.WriteText, "json": lint.WriteJSON, "sarif": lint.WriteSARIF,
}

// lintText lints one script that goes up and has nothing to undo.
func lintText(t testing.TB, sql string, d dialect.Dialect, opts *lint.Options) []lint.Finding {
	t.Helper()
	const path = "db/00 1.up.sql"
	down := lint.Script{Path: "db/00 1.down.sql", Statements: lexer.Split(strings.NewReader(""), d, nil)}
	m := lint.Migration{Down: &down, Up: lint.Script{Path: path, Statements: lexer.Split(strings.NewReader(sql), d, &lexer.Options{File: path})}}
	findings, err := lint.Check([]lint.Migration{m}, d, opts)
	if err != nil {
		t.Fatal(err)
	}
	return findings
}

const outputSQL = "SET LOCAL lock_timeout = '5s';\n-- two\n/* é */ CREATE INDEX\n  i ON t (a, \x01 b);\nDROP TABLE u;\nCREATE TABLE v (id bigserial PRIMARY KEY);\n"

func rowsOfT(table string) (int64, bool) { return 3_000_000, table == "t" }

func TestOutputGolden(t *testing.T) {
	t.Parallel()
	findings := lintText(t, outputSQL, dialect.Postgres, &lint.Options{Rows: rowsOfT})
	for name, write := range writers {
		if name == "sarif" {
			continue // its rules are the documentation's
		}
		var b bytes.Buffer
		if err := write(&b, findings); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", "output."+name)
		if *update {
			if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if b.String() != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, b.String(), want)
		}
	}
}

func TestNoFindingsIsAnEmptyList(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"text": "", "json": `"findings": []`, "sarif": `"results": []`} {
		var b bytes.Buffer
		if err := writers[name](&b, nil); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), want) || want == "" && b.Len() > 0 {
			t.Errorf("%s: %s", name, b.String())
		}
	}
}

// What the schema of SARIF 2.1.0 requires of the parts that are written: sections 3.13 to 3.30 of the standard.
func TestSARIF(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	findings := lintText(t, outputSQL, dialect.Postgres, &lint.Options{Rows: rowsOfT})
	if err := lint.WriteSARIF(&b, findings); err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(&b)
	decoder.DisallowUnknownFields() // only properties that the standard has
	var log struct {
		Schema  string `json:"$schema"`
		Version string `json:"version"`
		Runs    []struct {
			ColumnKind string `json:"columnKind"`
			Tool       struct {
				Driver struct {
					Name           string `json:"name"`
					InformationURI string `json:"informationUri"`
					Rules          []struct {
						ID                   string                          `json:"id"`
						ShortDescription     struct{ Text string }           `json:"shortDescription"`
						FullDescription      struct{ Text string }           `json:"fullDescription"`
						HelpURI              string                          `json:"helpUri"`
						Help                 struct{ Text, Markdown string } `json:"help"`
						DefaultConfiguration struct{ Level string }          `json:"defaultConfiguration"`
						Properties           struct{ Tags []string }         `json:"properties"`
					} `json:"rules"`
				} `json:"driver"`
			} `json:"tool"`
			Results []struct {
				RuleID    string                `json:"ruleId"`
				RuleIndex int                   `json:"ruleIndex"`
				Level     string                `json:"level"`
				Message   struct{ Text string } `json:"message"`
				Locations []struct {
					PhysicalLocation struct {
						ArtifactLocation struct {
							URI string `json:"uri"`
						} `json:"artifactLocation"`
						Region struct {
							StartLine   int                    `json:"startLine"`
							StartColumn int                    `json:"startColumn"`
							Snippet     *struct{ Text string } `json:"snippet"`
						} `json:"region"`
					} `json:"physicalLocation"`
				} `json:"locations"`
			} `json:"results"`
		} `json:"runs"`
	}
	if err := decoder.Decode(&log); err != nil {
		t.Fatal(err)
	}
	if log.Version != "2.1.0" || !strings.HasSuffix(log.Schema, "sarif-schema-2.1.0.json") || len(log.Runs) != 1 {
		t.Fatalf("version %q, schema %q, %d runs", log.Version, log.Schema, len(log.Runs))
	}
	run := log.Runs[0]
	levels := map[string]bool{"none": true, "note": true, "warning": true, "error": true}
	for _, r := range run.Tool.Driver.Rules {
		uri, err := url.Parse(r.HelpURI)
		if r.ID == "" || r.ShortDescription.Text == "" || r.FullDescription.Text == "" || r.Help.Text == "" || err != nil || !uri.IsAbs() ||
			!levels[r.DefaultConfiguration.Level] || len(r.Properties.Tags) == 0 {
			t.Errorf("rule %+v", r)
		}
	}
	if run.Tool.Driver.Name == "" || run.ColumnKind != "unicodeCodePoints" || len(run.Results) != len(findings) || len(findings) == 0 {
		t.Errorf("driver %q, columns %q, %d results of %d findings", run.Tool.Driver.Name, run.ColumnKind, len(run.Results), len(findings))
	}
	for i, r := range run.Results {
		if r.RuleIndex >= len(run.Tool.Driver.Rules) || run.Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID || !levels[r.Level] || r.Message.Text == "" {
			t.Errorf("result %+v", r)
		}
		place := r.Locations[0].PhysicalLocation
		if place.ArtifactLocation.URI != "db/00%201.up.sql" || place.Region.StartLine != findings[i].Pos.Line || place.Region.StartColumn != findings[i].Pos.Column {
			t.Errorf("%+v is at %v", place, findings[i].Pos)
		}
	}
}

func TestExitCode(t *testing.T) {
	t.Parallel()
	findings := []lint.Finding{{Severity: lint.Info}, {Severity: lint.Warning}}
	for least, want := range map[lint.Severity]int{lint.Off: 0, lint.Info: 1, lint.Warning: 1, lint.Error: 0} {
		if got := lint.ExitCode(findings, least); got != want {
			t.Errorf("%v: %d, want %d", least, got, want)
		}
	}
	if n := lint.Count(findings); n != (lint.Counts{Warnings: 1, Infos: 1}) || n.String() != "0 errors, 1 warning, 1 info" {
		t.Errorf("%+v: %v", n, n)
	}
}
