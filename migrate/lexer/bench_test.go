package lexer_test

import (
	"strings"
	"testing"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
)

const benchBytes = 8 << 20

// workloads are what files of migrations and seeds look like.
var workloads = []struct {
	name string
	d    dialect.Dialect
	text string
}{
	{"schema of postgres", dialect.Postgres, `-- users
CREATE TABLE users (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  email text NOT NULL UNIQUE CHECK (email LIKE '%@%'),
  created_at timestamptz NOT NULL DEFAULT now() /* UTC */
);
CREATE FUNCTION touch() RETURNS trigger AS $$
BEGIN
  NEW.updated_at = now();
  RETURN NEW;
END;
$$ LANGUAGE plpgsql;
CREATE INDEX CONCURRENTLY IF NOT EXISTS users_created_at ON users (created_at);
`},
	{"procedures of mysql", dialect.MySQL, `CREATE PROCEDURE p(IN a INT)
BEGIN
  DECLARE done INT DEFAULT 0;
  DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = 1;
  l: LOOP
    IF done THEN LEAVE l; END IF;
    UPDATE t SET b = CASE WHEN a > 1 THEN 'it\'s' ELSE 'so' END WHERE id = a; # why
  END LOOP;
END;
`},
	{"triggers of sqlite", dialect.SQLite, `CREATE TRIGGER t AFTER UPDATE ON a WHEN NEW.b <> OLD.b BEGIN
  UPDATE c SET n = CASE WHEN NEW.b > 1 THEN 1 ELSE 2 END WHERE id = NEW.id;
  INSERT INTO log (what, "when") VALUES ('changed', datetime('now'));
END;
`},
	{"rows of a seed", dialect.Postgres, "INSERT INTO t (a, b, c) VALUES (12345, 'some text; it''s ordinary', '2026-01-02 03:04:05');\n"},
	{"a long insert", dialect.MySQL, "INSERT INTO t VALUES " + strings.Repeat("(12345,'some text, it\\'s ordinary',NULL,0x1F),\n", 20_000) + "(1);\n"},
}

func BenchmarkSplit(b *testing.B) {
	for _, w := range workloads {
		b.Run(w.name, func(b *testing.B) {
			text := strings.Repeat(w.text, benchBytes/len(w.text)+1)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			count := 0
			for b.Loop() {
				count = 0
				for _, err := range lexer.Split(strings.NewReader(text), w.d, nil) {
					if count++; err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(count), "statements/op")
		})
	}
}

func BenchmarkTokens(b *testing.B) {
	for _, w := range workloads {
		b.Run(w.name, func(b *testing.B) {
			text := strings.Repeat(w.text, benchBytes/len(w.text)+1)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			count := 0
			for b.Loop() {
				count = 0
				for range lexer.Tokens(text, w.d, nil) {
					count++
				}
			}
			b.ReportMetric(float64(count), "tokens/op")
		})
	}
}
