package migratedb

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"testing/fstest"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
)

func Example() {
	db, err := sql.Open("sqlite", ":memory:") // modernc.org/sqlite
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // a database in memory is its connection's
	fsys := fstest.MapFS{ // an embed.FS or os.DirFS("migrations") in an app
		"1_users.up.sql":   {Data: []byte("CREATE TABLE users (id integer);\nINSERT INTO users VALUES (1), (2);\n")},
		"1_users.down.sql": {Data: []byte("DROP TABLE users;\n")},
		"2_teams.up.sql":   {Data: []byte("CREATE TABLE teams (id integer);\n")},
	}
	m, err := migrate.New(db, dialect.SQLite, &migrate.Options{Sources: []migrate.Source{{FS: fsys}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err := m.Up(context.Background())
	if err != nil {
		fmt.Println(err) // which statement of which file, what is left in the database, what to do
		return
	}
	for _, s := range res.Steps {
		fmt.Println(s.Direction, s.Ref, s.Name, len(s.Statements), "statements")
	}
	status, err := m.Status(context.Background())
	for _, s := range status {
		fmt.Println(s.Ref, s.State)
	}
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// up app:1 users 2 statements
	// up app:2 teams 1 statements
	// app:1 applied
	// app:2 applied
}

// The plan is SQL that can be read, and is what Up sends.
func ExamplePlan_Print() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	m, err := migrate.New(db, dialect.SQLite, &migrate.Options{Sources: []migrate.Source{{FS: fstest.MapFS{
		"1_users.up.sql": {Data: []byte("CREATE TABLE users (id integer);\nINSERT INTO users VALUES (1);\n")},
	}}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	plan, err := m.Plan(context.Background(), migrate.Goal{Do: migrate.DoUp})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := plan.Print(os.Stdout); err != nil {
		fmt.Println(err)
	}
	// Output:
	// -- SQLite: 1 migration to run
	// -- the ledger "main"."buffkit_migrations" will be created first
	//
	// -- up app:1 users (1_users.up.sql): 2 statements
	// BEGIN IMMEDIATE;
	// CREATE TABLE users (id integer);
	// INSERT INTO users VALUES (1);
	// -- write app:1 to "main"."buffkit_migrations"
	// COMMIT;
}
