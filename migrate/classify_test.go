package migrate_test

import (
	"testing"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
)

var natures = map[dialect.Dialect][][2]string{
	dialect.Postgres: {
		{"CREATE TABLE a (b int)", "tx"},
		{"/* CREATE INDEX CONCURRENTLY */ SELECT 1", "tx"},
		{"CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS \"A b\" ON ONLY s.t (c)", "alone, concurrent, index s.A b"},
		{"create index concurrently I on t (c)", "alone, concurrent, index i"},
		{"CREATE INDEX CONCURRENTLY ON t (c)", "alone, concurrent"},
		{"CREATE INDEX i ON t (concurrently)", "tx"},
		{"DROP INDEX CONCURRENTLY IF EXISTS a, s.b", "alone, concurrent, index a, index s.b"},
		{"DROP INDEX a", "tx"},
		{"REINDEX INDEX CONCURRENTLY a", "alone, repeat, concurrent"},
		{"REINDEX TABLE a", "tx, repeat"},
		{"ALTER TABLE p DETACH PARTITION c CONCURRENTLY", "alone, concurrent"},
		{"VACUUM (FULL) a", "alone, repeat"},
		{"CREATE DATABASE a", "alone, database a"},
		{"ALTER SYSTEM SET a = 1", "alone, repeat"},
		{"ALTER SUBSCRIPTION s REFRESH PUBLICATION", "tx"},
		{"CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p", "alone"},
		{"ALTER TYPE a ADD VALUE 'b'", "tx"},
		{"CALL p()", "tx, code"},
		{"DO $$ BEGIN COMMIT; END $$", "tx, code"},
		{"SET lock_timeout = 1", "session"},
		{"PREPARE a AS SELECT 1", "session"},
		{"SELECT pg_catalog.set_config('search_path', '', false)", "session"},
		{"SELECT set_config('search_path', '', true)", "tx"},
		{"SELECT set_config('search_path', '', false) FROM t", "tx"},
		{"CREATE TEMP TABLE a (b int)", "tx, temp"},
		{"BEGIN ISOLATION LEVEL SERIALIZABLE", "begin"},
		{"START TRANSACTION", "begin"},
		{"END", "commit"},
		{"ROLLBACK", "control"},
		{"ROLLBACK TO SAVEPOINT a", "tx"},
		{"SAVEPOINT a", "tx"},
		{"PREPARE TRANSACTION 'x'", "control"},
		{"ABORT", "control"},
	},
	dialect.SQLite: {
		{"CREATE TRIGGER a AFTER INSERT ON b BEGIN SELECT 1; END", "tx"},
		{"VACUUM INTO 'x'", "alone, repeat"},
		{"PRAGMA foreign_keys = OFF", "foreign_keys, off"},
		{"PRAGMA main.foreign_keys(0)", "foreign_keys, off"},
		{"pragma FOREIGN_KEYS=on", "foreign_keys"},
		{"PRAGMA journal_mode = WAL", "session, repeat"},
		{"ATTACH 'x' AS y", "session"},
		{"DROP TABLE IF EXISTS main.\"Old\"", `tx, drops "old" becomes ""`},
		{"ALTER TABLE [new] RENAME TO `Old`", `tx, drops "" becomes "old"`},
		{"ALTER TABLE a RENAME COLUMN b TO c", "tx"},
		{"BEGIN EXCLUSIVE TRANSACTION", "begin"},
		{"COMMIT", "commit"},
	},
	dialect.MySQL: {
		{"INSERT INTO a VALUES (1)", "tx"},
		{"WITH x AS (SELECT 1) SELECT * FROM x", "tx"},
		{"(SELECT 1)", "tx"},
		{"/*!50001 CREATE TABLE a (b int) */", "alone, table a"},
		{"CREATE TABLE IF NOT EXISTS `x`.`y` (b int)", "alone, table x.y"},
		{"CREATE DEFINER=`root`@`%` PROCEDURE p() SELECT 1", "alone, procedure p"},
		{"CREATE OR REPLACE ALGORITHM=MERGE VIEW v AS SELECT 1", "alone, view v"},
		{"CREATE UNIQUE INDEX i ON t (a)", "alone, table t"},
		{"DROP INDEX i ON t", "alone, table t"},
		{"DROP TABLE a, b", "alone, table a, table b"},
		{"ALTER TABLE a ADD COLUMN b int", "alone, table a"},
		{"ALTER TABLE a RENAME TO b", "alone, table a, table b"},
		{"ALTER TABLE a TRUNCATE PARTITION p", "alone"},
		{"RENAME TABLE a TO b, c TO d", "alone, table a, table b, table c, table d"},
		{"TRUNCATE TABLE a", "alone"},
		{"CREATE TEMPORARY TABLE a (b int)", "alone, temp, table a"},
		{"GRANT SELECT ON *.* TO a", "alone, repeat"},
		{"CALL p()", "alone, code"},
		{"EXECUTE s", "alone, code"},
		{"SET @a = 1", "session"},
		{"SET autocommit = 0", "control"},
		{"LOCK TABLES a WRITE", "control"},
		{"FLUSH TABLES WITH READ LOCK", "control"},
		{"FLUSH TABLES", "alone, repeat"},
		{"END", "alone"},
		{"SOMETHING NEW", "alone"},
	},
	dialect.MariaDB: {
		{"BEGIN NOT ATOMIC SELECT 1; END", "alone, code"},
		{"BEGIN", "begin"},
		{"CREATE SEQUENCE s", "alone, sequence s"},
		{"XA START 'x'", "control"},
		{"ANALYZE UPDATE a SET b = b + 1", "tx"},
		{"ANALYZE TABLE a", "alone, repeat"},
	},
}

func TestWhatAStatementIsToATransaction(t *testing.T) {
	t.Parallel()
	for d, pairs := range natures {
		for _, pair := range pairs {
			if got, err := migrate.Describe(pair[0], d); err != nil || got != pair[1] {
				t.Errorf("%v: %s\n\tgot  %s, %v\n\twant %s", d, pair[0], got, err, pair[1])
			}
		}
	}
}

func FuzzDescribe(f *testing.F) {
	for d, pairs := range natures {
		for _, pair := range pairs {
			f.Add(pair[0], uint8(d))
		}
	}
	f.Fuzz(func(_ *testing.T, sql string, n uint8) {
		all := dialect.All()
		_, _ = migrate.Describe(sql, all[int(n)%len(all)]) // an error or an answer, never a panic
	})
}
