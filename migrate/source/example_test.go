package source_test

import (
	"fmt"
	"testing/fstest"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/source"
)

func ExampleLoad() {
	fsys := fstest.MapFS{ // an embed.FS or os.DirFS in an app
		"1_users.up.sql":   {Data: []byte("CREATE TABLE users (id bigint);\n")},
		"1_users.down.sql": {Data: []byte("DROP TABLE users;\n")},
		"2_teams.sql":      {Data: []byte("-- depends: auth:7\n-- migrate:up\nCREATE TABLE teams (id bigint);\n-- migrate:down\nDROP TABLE teams;\n")},
	}
	migrations, err := source.Load(fsys, dialect.Postgres, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range migrations {
		fmt.Println(m.Version, m.Name, m.Up.Header.Depends)
		for statement, err := range m.Down.Statements(nil) {
			fmt.Println(statement.Pos, statement.SQL, err)
		}
	}
	// Output:
	// 1 users []
	// 1_users.down.sql:1:1 DROP TABLE users <nil>
	// 2 teams [auth:7]
	// 2_teams.sql:5:1 DROP TABLE teams <nil>
}

func ExampleLoad_misnamed() {
	_, err := source.Load(fstest.MapFS{"V0001.Users.up.sql": {}, "teams.sql": {}}, dialect.SQLite, nil)
	fmt.Println(err)
	// Output:
	// V0001.Users.up.sql: the name doesn't begin with a version, which is digits; rename it to 0001_Users.up.sql
	// teams.sql: the name doesn't begin with a version, which is digits; rename it to VERSION_teams.sql
}
