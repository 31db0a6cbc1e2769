package migrate

import (
	"strings"
	"testing"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
)

func TestAReplayStaysInTheScratchDatabase(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		d    dialect.Dialect
		sql  string
		want string
	}{
		{dialect.MySQL, "USE `app`", "USE"},
		{dialect.MySQL, "DROP TABLE IF EXISTS app.users", "app.users"},
		{dialect.MySQL, "CREATE TABLE IF NOT EXISTS `app`.`users` (id int)", "`app`.`users`"},
		{dialect.MySQL, "CREATE TABLE Scratch.users (id int)", ""},
		{dialect.MySQL, "CREATE TABLE users (id int)", ""},
		{dialect.MySQL, "INSERT INTO app.users SELECT * FROM other.users", "app.users"},
		{dialect.MySQL, "INSERT INTO users SELECT u.id FROM other.users u JOIN x.y z ON u.id = z.id", ""},
		{dialect.MySQL, "UPDATE app.users SET a = 1", "app.users"},
		{dialect.MySQL, "UPDATE users u JOIN t ON u.id = t.id SET u.a = t.a", ""},
		{dialect.MySQL, "DELETE FROM app.users", "app.users"},
		{dialect.MySQL, "TRUNCATE app.users", "app.users"},
		{dialect.MySQL, "RENAME TABLE a TO app.a", "app.a"},
		{dialect.MariaDB, "CREATE INDEX i ON app.users (a)", "app.users"},
		{dialect.MariaDB, "DROP DATABASE app", "DROP DATABASE"},
		{dialect.MariaDB, "CREATE SCHEMA app", "CREATE SCHEMA"},
		{dialect.MySQL, "CREATE USER ann", "CREATE USER"},
		{dialect.SQLite, "ATTACH 'app.db' AS app", "ATTACH"},
		{dialect.SQLite, "CREATE TABLE main.users (id int)", ""},
		{dialect.Postgres, "CREATE SCHEMA app", ""},
		{dialect.Postgres, "CREATE TABLE app.users (id int)", ""},
		{dialect.Postgres, "DROP ROLE ann", "DROP ROLE"},
		{dialect.Postgres, "ALTER DATABASE app SET x = 1", "ALTER DATABASE"},
	} {
		for st, err := range lexer.Split(strings.NewReader(c.sql), c.d, nil) {
			if err != nil {
				t.Fatal(err)
			}
			if got := reachesOut(firstTokens(st, headTokens), c.d, "scratch"); got != c.want {
				t.Errorf("%s: %s: %q, want %q", c.d, c.sql, got, c.want)
			}
		}
	}
}
