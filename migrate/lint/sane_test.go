package lint_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lint"
	"github.com/buffkit/buffkit/migrate/source"
)

// minSane is how many migrations of good practice there are to be.
const minSane = 60

// justified are the findings at warning or above in testdata/sane, by folder, file and rule, each with why it is right to tell.
var justified = map[string]string{}

// sane returns the migrations of a folder in testdata/sane.
func sane(t testing.TB, folder string, d dialect.Dialect) []lint.Migration {
	t.Helper()
	files, err := source.Load(os.DirFS(filepath.Join("testdata", "sane", folder)), d, nil)
	if err != nil {
		t.Fatal(err)
	}
	var migrations []lint.Migration
	for _, m := range files {
		migrations = append(migrations, lint.Of(m, nil))
	}
	return migrations
}

// folders are those of testdata/sane and whom they are for.
var folders = map[dialect.Dialect]string{
	dialect.Postgres: "postgres", dialect.MySQL: "mysql", dialect.MariaDB: "mysql", dialect.SQLite: "sqlite",
}

func TestSaneMigrationsPass(t *testing.T) {
	t.Parallel()
	count := map[string]int{}
	for d, folder := range folders {
		migrations := sane(t, folder, d)
		count[folder] = len(migrations)
		findings, err := lint.Check(migrations, d, nil)
		if err != nil {
			t.Fatal(err)
		}
		told := map[string]bool{}
		for _, f := range findings {
			key := folder + "/" + f.Pos.File + " " + f.Rule
			if f.Severity >= lint.Warning && justified[key] == "" {
				t.Errorf("%v: %v %v: %s [%s]", d, f.Pos, f.Severity, f.Message, f.Rule)
			}
			told[key] = true
		}
		t.Logf("%v: %v in %d migrations", d, lint.Count(findings), len(migrations))
		for key := range justified {
			if strings.HasPrefix(key, folder+"/") && !told[key] {
				t.Errorf("%s isn't found any more: take it out of justified", key)
			}
		}
	}
	if sum := count["postgres"] + count["mysql"] + count["sqlite"]; sum < minSane {
		t.Errorf("%d sane migrations, want at least %d", sum, minSane)
	}
}

// maxInfos is how many remarks without weight the sane migrations may draw, all dialects together. Raise it with a reason only.
const maxInfos = 20

func TestSaneMigrationsDrawFewRemarks(t *testing.T) {
	t.Parallel()
	var infos []string
	for d, folder := range folders {
		findings, err := lint.Check(sane(t, folder, d), d, &lint.Options{Runner: lint.Runner{LockTimeout: true, ForeignKeysOff: true}})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range findings {
			infos = append(infos, fmt.Sprintf("%v: %v: %s [%s]", d, f.Pos, f.Message, f.Rule))
		}
	}
	if len(infos) > maxInfos {
		t.Errorf("%d remarks:\n%s", len(infos), strings.Join(infos, "\n"))
	}
}
