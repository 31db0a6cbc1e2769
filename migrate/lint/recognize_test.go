package lint_test

import (
	"fmt"
	"testing"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lint"
)

// What is easily mistaken for something else. Most of the recognizer is tried by the rules' cases.
func TestRecognize(t *testing.T) {
	t.Parallel()
	const pg, my, maria, lite = dialect.Postgres, dialect.MySQL, dialect.MariaDB, dialect.SQLite
	create, alter := fmt.Sprint(lint.CreateTable, " table "), fmt.Sprint(lint.AlterTable, " table ")
	tests := []struct {
		name string
		d    dialect.Dialect
		sql  string
		want string
	}{
		{"columns with the names of keywords", my, "CREATE TABLE t (`key` varchar(20), key varchar(20), index int, KEY k (a), INDEX (b(10)), unique_id int)",
			create + "t | key varchar(20) | key varchar(20) | index int | unique_id int | index k (a) | index  (b)"},
		{"constraints with names", pg, "CREATE TABLE t (a int, CONSTRAINT c CHECK (a > 0), CONSTRAINT p PRIMARY KEY (a), CONSTRAINT f FOREIGN KEY (a, b) REFERENCES x.y (c, d))",
			create + "t | a int | check c | primary key p (a) | foreign key f (a, b) -> x.y"},
		{"types of several words", pg, `CREATE TABLE t (a double precision, b timestamp (3) with time zone, c character varying (9)[], d numeric(10, 2), e "Strange" NOT NULL, f app.kind)`,
			create + "t | a double precision | b timestamp(3) with time zone | c varchar(9)[] | d numeric(10, 2) | e strange not null | f app kind"},
		{"defaults that go on", pg, "CREATE TABLE t (a text DEFAULT 'x'::text NOT NULL, b int DEFAULT (1 + 2) * 3 CHECK (b > 0), c text DEFAULT NULL REFERENCES u (id))",
			create + "t | a text not null default 'x'::text | b int default (1 + 2) * 3 | c text default NULL -> u"},
		{"no types", lite, "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b NOT NULL, 'c', [d e] text)",
			create + "t | id int primary | a | b not null | c | d e text"},
		{"on update and comments", my, "CREATE TABLE t (a timestamp DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP COMMENT 'NOT NULL', b enum('a', 'NOT NULL') NOT NULL)",
			create + "t | a timestamp default CURRENT_TIMESTAMP | b enum('a', 'NOT NULL') not null"},
		{"conditional comments", my, "CREATE TABLE t (a int /*!80000 INVISIBLE */ NOT NULL) /*!50100 PARTITION BY HASH (a) */", create + "t | a int not null"},
		{"several clauses", my, "ALTER TABLE t ADD a int AFTER b, ADD COLUMN (c int, d int), ADD KEY k (a), DROP b, DROP KEY l, CHANGE e f bigint, RENAME TO u, ENGINE=InnoDB COMMENT='x', ALGORITHM=INPLACE",
			alter + "t | add column a: a int | add column c: c int | add column d: d int | add constraint index k (a) | drop column b | drop index l" +
				" | modify column e to f: f bigint | rename table  to u | engine  | option  | algorithm "},
		{"clauses of PostgreSQL", pg, `ALTER TABLE IF EXISTS ONLY public."T" ADD IF NOT EXISTS a int, ALTER a SET DEFAULT 1, ALTER COLUMN a DROP DEFAULT, ALTER b TYPE text USING b::text, VALIDATE CONSTRAINT c, DROP CONSTRAINT IF EXISTS d CASCADE, ENABLE ROW LEVEL SECURITY, OWNER TO x`,
			alter + "t | add column a: a int | set default a | drop default a | alter type b: text | validate  c | drop constraint  d | other  | other "},
		{"renames", pg, "ALTER TABLE t RENAME a TO b; ALTER TABLE t RENAME COLUMN c TO d; ALTER TABLE t RENAME CONSTRAINT e TO f; ALTER TABLE t RENAME TO u",
			alter + "t | rename column a to b" + alter + "t | rename column c to d" + alter + "t | rename constraint e to f" + alter + "t | rename table  to u"},
		{"renames of columns named like keywords", my, "ALTER TABLE t RENAME COLUMN `index` TO `key`; ALTER TABLE t RENAME INDEX a TO b; ALTER TABLE t DROP COLUMN `index`, DROP `key`",
			alter + "t | rename column index to key" + alter + "t | rename constraint a to b" + alter + "t | drop column index | drop column key"},
		{"MariaDB's waiting", maria, "ALTER ONLINE TABLE IF EXISTS t NOWAIT ADD COLUMN IF NOT EXISTS a int", alter + "t | add column a: a int"},
		{"a table from a query", pg, "CREATE TABLE t AS SELECT 1 AS a; SELECT a INTO TEMP u FROM t", create + "t" + fmt.Sprint(lint.CreateTable) + "  u"},
		{"what ends too early", pg, "ALTER TABLE; CREATE TABLE; CREATE TABLE t (; ALTER TABLE t ADD; ALTER TABLE t ALTER; DROP", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := lint.Recognized(tt.sql, tt.d); tt.want != "" && got != tt.want {
				t.Errorf("%s\n got %q\nwant %q", tt.sql, got, tt.want)
			}
		})
	}
}
