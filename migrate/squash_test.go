package migrate_test

import (
	"strings"
	"testing"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
)

// wide is a list of columns that is longer than what is looked at of other statements.
var wide = "id int" + strings.Repeat(", c int NOT NULL", 200)

var beyond = map[dialect.Dialect][][2]string{
	dialect.Postgres: {
		{"CREATE TABLE t AS TABLE u", "copies rows"},
		{"CREATE TABLE t AS VALUES (1)", "copies rows"},
		{"CREATE TABLE t (a, b) AS (VALUES (1, 2))", "copies rows"},
		{"CREATE UNLOGGED TABLE IF NOT EXISTS t AS EXECUTE q", "copies rows"},
		{"CREATE TABLE t AS WITH x AS (TABLE u) TABLE x", "copies rows"},
		{"CREATE TABLE t (" + wide + ") AS SELECT * FROM u", "copies rows"},
		{"CREATE TABLE t (values int, a int GENERATED ALWAYS AS (values * 2) STORED)", ""},
		{"CREATE TABLE t PARTITION OF u FOR VALUES FROM (1) TO (2)", ""},
		{"CREATE TYPE t AS (a int)", ""},
		{"CREATE VIEW v AS SELECT 1", ""},
		{"CREATE MATERIALIZED VIEW v AS TABLE u", ""},
		{"ALTER SEQUENCE IF EXISTS s RESTART", "sets the next number"},
		{"ALTER SEQUENCE public.s INCREMENT 2 RESTART WITH 1000", "sets the next number"},
		{"ALTER SEQUENCE s INCREMENT 2", ""},
		{"ALTER TABLE t ALTER COLUMN id RESTART WITH 1000", "sets the next number"},
		{"ALTER TABLE t ALTER id SET INCREMENT 2 RESTART, ADD a int", "sets the next number"},
		{"ALTER TABLE t ADD COLUMN restart bool", ""},
		{"ALTER TABLE t DROP COLUMN IF EXISTS restart, DROP restart", ""},
		{"ALTER TABLE t RENAME COLUMN a TO restart", ""},
		{"ALTER TABLE t ADD UNIQUE (restart, a)", ""},
		{"ALTER TABLE t ADD a int" + strings.Repeat(", ADD b int", 200) + ", OWNER TO x", "changes the owner"},
	},
	dialect.MySQL: {
		{"CREATE TABLE t AS TABLE u", "copies rows"},
		{"CREATE TABLE t TABLE u", "copies rows"},
		{"CREATE TABLE t (a int) VALUES ROW(1)", "copies rows"},
		{"CREATE TABLE t (SELECT * FROM u)", "copies rows"},
		{"CREATE TABLE t (" + wide + ") REPLACE SELECT * FROM u", "copies rows"},
		{"CREATE TABLE t LIKE u", ""},
		{"CREATE TABLE t (a int, b int AS (a + 1)) PARTITION BY RANGE (a) (PARTITION p VALUES LESS THAN (10))", ""},
		{"CREATE PROCEDURE p() CREATE TABLE t AS SELECT 1", ""},
		{"CREATE TABLE t (a int PRIMARY KEY AUTO_INCREMENT) ENGINE=InnoDB AUTO_INCREMENT=1000", "sets the next number"},
		{"CREATE TABLE t (a int PRIMARY KEY AUTO_INCREMENT) AUTO_INCREMENT = 1", ""},
		{"ALTER TABLE t AUTO_INCREMENT 1000", "sets the next number"},
		{"ALTER TABLE t MODIFY a int AUTO_INCREMENT, ADD b int", ""},
	},
	dialect.MariaDB: {
		{"CREATE OR REPLACE TEMPORARY TABLE t SELECT 1", "copies rows"},
		{"ALTER ONLINE IGNORE TABLE t AUTO_INCREMENT = 1000", "sets the next number"},
		{"ALTER SEQUENCE s RESTART 1000", "sets the next number"},
		{"DELIMITER //\nIF 1 = 1 THEN INSERT INTO t VALUES (1); END IF//", "may change anything"},
		{"DELIMITER //\nFOR i IN 1..3 DO INSERT INTO t VALUES (i); END FOR//", "may change anything"},
		{"DELIMITER //\nagain: LOOP INSERT INTO t VALUES (1); LEAVE again; END LOOP//", "may change anything"},
		{"CREATE TABLE t (a int) WITH SYSTEM VERSIONING", ""},
	},
	dialect.SQLite: {
		{"CREATE TABLE t AS VALUES (1)", "copies rows"},
		{"CREATE TABLE t (a int, b int AS (a + 1))", ""},
		{"CREATE TRIGGER t AFTER INSERT ON u BEGIN INSERT INTO v SELECT 1; END", ""},
	},
}

func TestWhatASchemaDoesNotHoldIsFound(t *testing.T) {
	t.Parallel()
	for d, pairs := range beyond {
		for _, pair := range pairs {
			got, err := migrate.BeyondSchema(pair[0], d)
			if err != nil || len(got) != 1 || got[0] != pair[1] {
				t.Errorf("%v: %.100s\n\tgot  %q, %v\n\twant %q", d, pair[0], got, err, pair[1])
			}
		}
	}
}
