package lint_test

import (
	"strings"
	"testing"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
	"github.com/buffkit/buffkit/migrate/lint"
)

// BenchmarkCheck lints a seed of many rows, one INSERT for each, and one for all of them.
func BenchmarkCheck(b *testing.B) {
	const rows = 20_000
	row := "(1234, 'somebody@example.com', 'Some Body', NULL, '2024-01-01 12:00:00')"
	for name, text := range map[string]string{
		"a statement for each row": strings.Repeat("INSERT INTO users (id, email, name, phone, at) VALUES "+row+";\n", rows),
		"one statement":            "INSERT INTO users (id, email, name, phone, at) VALUES " + strings.Repeat(row+",\n", rows) + row + ";",
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				m := lint.Migration{Up: lint.Script{Statements: lexer.Split(strings.NewReader(text), dialect.Postgres, nil)}}
				if _, err := lint.Check([]lint.Migration{m}, dialect.Postgres, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
