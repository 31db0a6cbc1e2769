package migratedb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/migrate/dialect"
)

// hardInputs are ordinary files on which other runners fail, by the name that they have in migrate/lexer/testdata/split. Each leaves so many rows in t.
func hardInputs(on target) map[string]struct {
	script string
	rows   int
} {
	type input = struct {
		script string
		rows   int
	}
	const table = "CREATE TABLE t (s varchar(200));\n"
	trigger := "CREATE TABLE log (n int);\nCREATE TRIGGER g AFTER INSERT ON t FOR EACH ROW BEGIN\n  INSERT INTO log VALUES (1);\n  INSERT INTO log VALUES (2);\nEND;\n"
	if on.dialect == dialect.Postgres {
		trigger = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n  PERFORM 1;\n  RETURN NEW;\nEND;\n$$;\nCREATE TRIGGER g AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();\n"
	}
	return map[string]input{
		"runner-trigger-without-annotation":                     {table + trigger + "INSERT INTO t VALUES ('a');\n", 1},
		"runner-string-over-two-lines-first-ends-in-semicolon":  {table + "INSERT INTO t VALUES ('first;\nsecond');\nINSERT INTO t VALUES ('b');\n", 2},
		"runner-semicolons-in-block-comment-between-statements": {table + "/* one; two;\nthree; */\nINSERT INTO t VALUES ('a');\n", 1},
		"runner-block-comment-after-last-statement":             {table + "INSERT INTO t VALUES ('a');\n/* the end; */\n", 1},
		"runner-no-final-semicolon":                             {table + "INSERT INTO t VALUES ('a')", 1},
		"runner-annotation-in-a-string":                         {table + "INSERT INTO t VALUES ('\n-- +goose Down\n-- migrate:down\nDROP TABLE t;\n');\nINSERT INTO t VALUES ('b');\n", 2},
		"runner-byte-order-mark":                                {"\ufeff" + table + "INSERT INTO t VALUES ('a');\n", 1},
		"runner-crlf":                                           {strings.ReplaceAll(table+"INSERT INTO t VALUES ('a');\nINSERT INTO t VALUES ('b');\n", "\n", "\r\n"), 2},
		"runner-own-begin-and-commit":                           {"BEGIN;\n" + table + "INSERT INTO t VALUES ('a');\nCOMMIT;\n", 1},
	}
}

func TestFilesThatOtherRunnersFailOnAreApplied(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		corpus := caseNames(t)
		for name, input := range hardInputs(on) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				if !slices.Contains(corpus, name) {
					t.Errorf("the splitter's cases have none of the name %s", name)
				}
				db := on.open(t)
				if _, err := migrator(t, on, db, of(files("1_a.up.sql", input.script))).Up(t.Context()); err != nil {
					t.Fatal(err)
				}
				if n := number(t, db, "SELECT count(*) FROM t"); n != input.rows {
					t.Errorf("%d rows, want %d", n, input.rows)
				}
			})
		}
	})
}

// corpusCase is what a golden case of the splitter sends.
type corpusCase struct {
	name, options string
	statements    []string
	fails         bool
}

const corpus = "../../migrate/lexer/testdata/split"

func caseNames(t *testing.T) (names []string) {
	t.Helper()
	paths, err := filepath.Glob(corpus + "/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		for _, c := range readCorpus(t, path) {
			names = append(names, c.name)
		}
	}
	return names
}

func readCorpus(t *testing.T, path string) (all []corpusCase) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range strings.Split("\n"+string(text), "\n#### ")[1:] {
		header, body, _ := strings.Cut(body, "\n")
		c := corpusCase{fails: strings.Contains("\n"+body, "\n#!! ")}
		c.name, c.options, _ = strings.Cut(strings.TrimSuffix(header, "]"), " [")
		for _, part := range strings.Split("\n"+body, "\n#=> ")[1:] {
			_, sql, _ := strings.Cut(part, "\n")
			c.statements = append(c.statements, strings.ReplaceAll(sql, "␍", "\r"))
		}
		all = append(all, c)
	}
	return all
}

// isSyntax tells whether a server couldn't even read a statement.
func isSyntax(on target, err error) bool {
	text := err.Error()
	switch on.dialect {
	case dialect.Postgres:
		return strings.Contains(text, "syntax error at") || strings.Contains(text, "unterminated")
	case dialect.SQLite:
		return strings.Contains(text, "syntax error") || strings.Contains(text, "incomplete input") || strings.Contains(text, "unrecognized token")
	}
	return strings.Contains(text, "Error 1064")
}

// noStatements are cases of what no server, or not this one, takes for a statement, wherever it is cut.
var noStatements = map[string]string{
	"pocket-id pragma and own transaction": "SQLite's", "create table with a column named begin": "quoted as elsewhere", "supabase template braces": "a template",
	"authelia-V0007 procedure without delimiter": "its prepared string", "insert with a json path": "MySQL's", "row alias and values": "MySQL's",
	"goose-1237-mysql body that a wrong count would end": "an empty IF", "golang-migrate-1237 two functions": "an empty BEGIN",
	"case expression that lacks its end": "", "definer of every kind": "a user named like a keyword", "execute immediate": "its string",
	"conditional comments of mysqldump": "a semicolon within parentheses", "words with dollars": "", "null of the client": "", "a backslash elsewhere": "",
	"delimiter that also occurs in an operator": "a lone number", "begin not atomic with a label": "", "loops at the top": "a label",
	"if at the top isn't compound here": "MariaDB's", "function in javascript without a tag": "", "a tag can't start with a digit": "", "a lone dollar": "",
	"escape string that doesn't go on on the same line": "", "escape string that doesn't go on after a block comment": "", "non-breaking space": "",
	"a parenthesis that isn't closed elsewhere leaves the next statement alone": "", "a parenthesis too many": "", "backticks mean nothing": "",
	"brackets are arrays": "", "psql variable": "", "delimiter is a word here": "", "ranges of numbers": "", "trigger without begin": "", "blob": "an odd one",
	"hash is no comment": "", "number with a leading dot at the start": "",
}

// A statement that was cut in the wrong place is none. Most of the cases name tables that aren't there; the servers read them all the same.
func TestWhatTheSplitterSendsIsAStatementToTheServer(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		driverName, dsn := on.fresh(t)
		db := openDB(t, driverName, dsn)
		paths, err := filepath.Glob(corpus + "/*.txt")
		if err != nil {
			t.Fatal(err)
		}
		sent := 0
		for _, path := range paths {
			stem := strings.TrimSuffix(filepath.Base(path), ".txt")
			if stem != "all" && !slices.Contains(strings.Split(stem, "+"), on.dialect.String()) {
				continue
			}
			for _, c := range readCorpus(t, path) {
				if _, none := noStatements[c.name]; !none && !c.fails {
					sent += sendCase(t, on, db, c)
				}
			}
		}
		if sent < 150 {
			t.Errorf("only %d statements", sent)
		}
		t.Logf("%d statements", sent)
	})
}

func sendCase(t *testing.T, on target, db *sql.DB, c corpusCase) (sent int) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // some wait for ever
	defer cancel()
	defer func() {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // with all that was set on it
		_ = conn.Close()
	}()
	for option, mode := range map[string]string{"ansi": "ANSI_QUOTES", "nobackslash": "NO_BACKSLASH_ESCAPES"} {
		if slices.Contains(strings.Fields(c.options), option) {
			if _, err := conn.ExecContext(t.Context(), "SET sql_mode = '"+mode+"'"); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, statement := range c.statements {
		sent++
		if _, err := conn.ExecContext(ctx, statement); err != nil && isSyntax(on, err) {
			t.Errorf("%s [%s], statement %d: %v\n%s", c.name, c.options, i+1, err, statement)
		}
	}
	return sent
}
