package dialect_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/migrate/dialect"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]dialect.Dialect{
		"postgres": dialect.Postgres, "PostgreSQL": dialect.Postgres, "pg": dialect.Postgres, "pgx": dialect.Postgres,
		"mysql": dialect.MySQL, "MariaDB": dialect.MariaDB, "sqlite": dialect.SQLite, "sqlite3": dialect.SQLite,
	} {
		if got, err := dialect.Parse(name); err != nil || got != want {
			t.Errorf("Parse(%q) = %v, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "oracle", "postgres ", "unknown"} {
		if _, err := dialect.Parse(name); err == nil || !strings.Contains(err.Error(), "use postgres, mysql, mariadb or sqlite") {
			t.Errorf("Parse(%q): %v", name, err)
		}
	}
}

func TestADialectIsAWordInJSON(t *testing.T) {
	t.Parallel()
	for _, d := range dialect.All() {
		text, err := json.Marshal(d)
		if err != nil || string(text) != `"`+d.String()+`"` {
			t.Errorf("%v: %s, %v", d, text, err)
		}
		var back dialect.Dialect
		if err := json.Unmarshal(text, &back); err != nil || back != d {
			t.Errorf("%s: %v, %v", text, back, err)
		}
		if d.Title() == "unknown" || d.Lexical().Client == "" {
			t.Errorf("%v has no title or client", d)
		}
	}
	var none dialect.Dialect
	if _, err := json.Marshal(none); err == nil || none.String() != "unknown" || none.Title() != "unknown" {
		t.Error("the zero value passes for a dialect")
	}
	if err := json.Unmarshal([]byte(`"db2"`), &none); err == nil {
		t.Error("db2 is read")
	}
}

func TestLexicalIsACopy(t *testing.T) {
	t.Parallel()
	dialect.MySQL.Lexical().HashComments = false
	if !dialect.MySQL.Lexical().HashComments || !dialect.MariaDB.Lexical().ConditionalM || dialect.MySQL.Lexical().ConditionalM {
		t.Error("one caller's change shows at another")
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic for the zero value")
		}
	}()
	dialect.Dialect(0).Lexical()
}
