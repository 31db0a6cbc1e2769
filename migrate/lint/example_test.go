package lint_test

import (
	"fmt"
	"os"
	"testing/fstest"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lint"
	"github.com/buffkit/buffkit/migrate/source"
)

func ExampleCheck() {
	folder := fstest.MapFS{"0007_index.sql": {Data: []byte(`-- migrate:up
SET LOCAL lock_timeout = '5s';
CREATE INDEX orders_user_id ON orders (user_id);

-- migrate:down
DROP INDEX orders_user_id;
`)}}
	files, err := source.Load(folder, dialect.Postgres, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	var migrations []lint.Migration
	for _, m := range files {
		migrations = append(migrations, lint.Of(m, nil))
	}
	findings, err := lint.Check(migrations, dialect.Postgres, &lint.Options{
		Version: "16.4",
		Rows:    func(table string) (int64, bool) { return 4_000_000, table == "orders" },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := lint.WriteText(os.Stdout, findings); err != nil {
		fmt.Println(err)
	}
	fmt.Println("exit code", lint.ExitCode(findings, lint.Warning))
	// Output:
	// 0007_index.sql:3:1: error: CREATE INDEX blocks writes to orders until it is built (orders has about 4,000,000 rows) [index-not-concurrent]
	//     CREATE INDEX orders_user_id ON orders (user_id)
	//   safe:
	//     -- no-transaction
	//     CREATE INDEX CONCURRENTLY orders_user_id ON orders (user_id);
	// 1 error, 0 warnings, 0 infos
	// exit code 1
}
