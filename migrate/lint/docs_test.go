package lint_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lint"
)

var docsPath = filepath.Join("..", "..", "docs", "lint.md")

// docsHead stands above the rules in docs/lint.md. All of that page is written by this test, with -update.
const docsHead = `# The linter of migrations

It reads the scripts of a migration before they run, and tells what will lose data, block a table, break the release that still runs,
or fail half-way. It knows PostgreSQL, MySQL, MariaDB and SQLite, and needs no database; with one it weighs what it finds by the server's
version and the sizes of the tables. As a command it is ` + "`buffkit migrate lint`" + `, and ` + "`buffkit migrate up`" + ` asks it too (` + "`--lint`" + `): [cli.md](cli.md#migrate-lint).
As a library it is the package ` + "`migrate/lint`" + `, and ` + "`migrate/lint/live`" + ` for what needs a database.

This page is written by ` + "`go test ./migrate/lint -update`" + ` from the rules themselves.

## Severities

| severity | it means |
|---|---|
| error | the migration fails, or loses what nobody meant to lose |
| warning | it may hurt in production |
| info | there is a better way |

The rules that say *weighs* depend on the size of a table. If it is known: below 10,000 rows they are an info, from 1,000,000 rows on an
error. A table that the script itself creates is empty, and nothing about it is called blocking.

Scripts that go up are looked at by all rules; those that go down by the rules that say *down too*.

## When a rule doesn't apply

Say so in the script, with the reason, which the next reader needs:

` + "```sql" + `
-- lint:allow drop-column nothing has read it since release 12
ALTER TABLE users DROP COLUMN nickname;
` + "```" + `

Above the first statement it is for the whole script, elsewhere for the statement below it, or for the one whose line it ends. Without a
reason, or for a rule that doesn't exist, it is an error itself.

To turn a rule off everywhere, or to change its severity, a program sets ` + "`Options.Severities`" + `, and the command takes ` + "`--rule drop-column=error`" + `.

## What it doesn't see

Bodies of functions, procedures and ` + "`DO`" + ` blocks, SQL that is put together at run time, migrations in Go, and what was in the database before
the first script. That a table with a FULLTEXT index takes no column instantly. A statement that it doesn't recognize draws no finding: no finding is no proof.

Where a rule depends on the server's version and none is given, it assumes PostgreSQL 14, MySQL 8.0, MariaDB 10.6 and SQLite 3.35.

`

// docsSane tells how often the linter is wrong.
const docsSane = `## Does it cry wolf?

The tests hold a corpus of migrations as they should be, which are also applied to the real servers. This is what the linter has against them:

| databases | migrations | errors | warnings | infos |
|---|---|---|---|---|
`

// docsCheck is how to run it.
const docsCheck = `
What the rules say of ALGORITHM and LOCK in MySQL and MariaDB is compared with what MySQL 9 and MariaDB 10.11 accept, by
` + "`TestWhatTheRulesSayOfAlterTableIsWhatTheServersDo`" + `.

`

func docs(t *testing.T) string {
	var b strings.Builder
	b.WriteString(docsHead)
	b.WriteString(docsSane)
	for _, d := range dialect.All() {
		migrations := sane(t, folders[d], d)
		findings, err := lint.Check(migrations, d, &lint.Options{Runner: lint.Runner{LockTimeout: true, ForeignKeysOff: true}})
		if err != nil {
			t.Fatal(err)
		}
		n := lint.Count(findings)
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d |\n", d.Title(), len(migrations), n.Errors, n.Warnings, n.Infos)
	}
	b.WriteString(docsCheck)
	all := lint.Rules()
	fmt.Fprintf(&b, "## The rules\n\nThere are %d.\n\n| rule | severity | databases | what it finds |\n|---|---|---|---|\n", len(all))
	for _, r := range all {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %v | %s | %s |\n", r.ID, r.ID, r.Severity, databases(r), strings.ReplaceAll(r.Title, "|", `\|`))
	}
	var category lint.Category
	for _, r := range all {
		if r.Category != category {
			category = r.Category
			fmt.Fprintf(&b, "\n## %s%s\n", strings.ToUpper(string(category[:1])), category[1:])
		}
		notes := []string{r.Severity.String(), databases(r)}
		if r.Weighs {
			notes = append(notes, "weighs")
		}
		if r.Down {
			notes = append(notes, "down too")
		}
		fmt.Fprintf(&b, "\n### %s\n\n%s. *%s*\n\n%s\n\n```sql\n%s\n```\n", r.ID, sentence(r.Title), strings.Join(notes, " · "), r.Why, r.Safe)
	}
	return b.String()
}

func sentence(title string) string { return strings.ToUpper(title[:1]) + title[1:] }

func databases(r lint.Rule) string {
	if len(r.Dialects) == len(dialect.All()) {
		return "all"
	}
	var titles []string
	for _, d := range r.Dialects {
		titles = append(titles, d.Title())
	}
	return strings.Join(titles, ", ")
}

func TestDocumentation(t *testing.T) {
	t.Parallel()
	want := docs(t)
	if *update {
		if err := os.WriteFile(docsPath, []byte(want), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(docsPath)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s isn't what the rules say: run go test ./migrate/lint -update", docsPath)
	}
	for _, r := range lint.Rules() {
		if !strings.Contains(string(got), "\n### "+r.ID+"\n") {
			t.Errorf("%s has nothing about %s", docsPath, r.ID)
		}
	}
}

// The documented safe way must itself pass: what a rule advises may not be what it, or another one, warns of.
func TestTheSafeWayIsSafe(t *testing.T) {
	t.Parallel()
	for _, r := range lint.Rules() {
		if r.Category == lint.Meta {
			continue
		}
		for _, d := range r.Dialects {
			for _, f := range lintSafe(t, r.Safe, d) {
				if f.Rule == r.ID {
					t.Errorf("%s, %v: its safe way breaks it: %s", r.ID, d, f.Message)
				}
			}
		}
	}
}

// So must the fix that a finding proposes, where it is SQL as a whole.
func TestFixesAreSafe(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/rules/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		for _, c := range readRule(t, path) {
			for _, f := range c.findings(t) {
				if f.Rule != c.rule || f.Category == lint.Meta || strings.Contains(f.Fix, "…") {
					continue
				}
				for _, again := range lintSafe(t, f.Fix, c.dialect) {
					if again.Rule == c.rule {
						t.Errorf("%s: the fix\n%s\nbreaks it too: %s", c.rule, f.Fix, again.Message)
					}
				}
			}
		}
	}
}

// lintSafe lints a safe way as a script of its own, with the header if it says so.
func lintSafe(t *testing.T, sql string, d dialect.Dialect) []lint.Finding {
	t.Helper()
	sql = strings.ReplaceAll("\n"+sql, "\n-- in the next migration", "\n"+fileMark+"next\n-- then")
	c := &ruleCase{rule: "safe", header: sql, dialect: d, written: strings.TrimPrefix(sql, "\n")}
	return c.findings(t)
}
