package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLintOnTheCommandLine(t *testing.T) {
	t.Parallel()
	folder, flags := migrations(t, "1_users.up.sql", "CREATE TABLE users (id INTEGER PRIMARY KEY, nick TEXT);\n", "1_users.down.sql", "DROP TABLE users;\n",
		"2_less.up.sql", "ALTER TABLE users DROP COLUMN nick;\n", "2_less.down.sql", "ALTER TABLE users ADD COLUMN nick TEXT;\n")
	place := filepath.Join(folder, "2_less.up.sql") + ":1:"

	found := migrateCommand(t, flags, "lint")
	found.want(t, 1, "1 warning")
	if !strings.Contains(found.stdout, place) || !strings.Contains(found.stdout, "[drop-column]") {
		t.Errorf("%s", found.stdout)
	}
	migrateCommand(t, flags, "lint", "--fail-on", "error").want(t, 0)
	migrateCommand(t, flags, "lint", "--rule", "drop-column=off").want(t, 0, "0 warnings")
	migrateCommand(t, flags, "lint", "--since", "2").want(t, 0, "0 warnings")

	run(t, "", "migrate", "lint", "--dialect", "sqlite", "--dir", folder).want(t, 1, "1 warning")
	var report struct {
		Findings []struct{ Rule, File string }
		Counts   struct{ Warnings int }
	}
	if r := run(t, "", "migrate", "lint", "--dialect", "sqlite", "--dir", folder, "--format", "json"); json.Unmarshal([]byte(r.stdout), &report) != nil ||
		report.Counts.Warnings != 1 || report.Findings[0].Rule != "drop-column" || r.code != 1 {
		t.Errorf("%d %s", r.code, r.stdout)
	}
	if r := run(t, "", "migrate", "lint", "--dialect", "sqlite", "--dir", folder, "--format", "sarif", "--fail-on", "never"); r.code != 0 || !strings.Contains(r.stdout, `"ruleId": "drop-column"`) {
		t.Errorf("%d %s", r.code, r.stdout)
	}

	up := migrateCommand(t, flags, "up")
	up.want(t, 0, "warning: 2_less.up.sql:1:", "[drop-column]")
	migrateCommand(t, flags, "lint").want(t, 0, "0 warnings") // all is applied
	migrateCommand(t, flags, "lint", "--all").want(t, 1, "1 warning")
}

// Who adopted goes on with the tool's files, and has them linted, too.
func TestLintReadsTheFilesOfAnotherTool(t *testing.T) {
	t.Parallel()
	folder, flags := migrations(t, "00001_users.sql", "-- +goose Up\nCREATE TABLE users (id INTEGER PRIMARY KEY, nick TEXT);\n-- +goose Down\nDROP TABLE users;\n",
		"00002_less.sql", "-- +goose Up\nALTER TABLE users DROP COLUMN nick;\n-- +goose Down\nALTER TABLE users ADD COLUMN nick TEXT;\n")
	place := filepath.Join(folder, "00002_less.sql")
	for _, args := range [][]string{{"--format", "goose"}, {"--format", "goose", "--format", "json"}, {"--format", "sarif", "--format", "goose"}} {
		r := migrateCommand(t, flags, append([]string{"lint"}, args...)...)
		if r.want(t, 1, "1 warning"); !strings.Contains(r.stdout, place) || !strings.Contains(r.stdout, "drop-column") {
			t.Errorf("%q: %s", args, r.stdout)
		}
	}
	run(t, "", "migrate", "lint", "--dialect", "sqlite", "--dir", folder, "--format", "goose").want(t, 1, "1 warning")
	migrateCommand(t, flags, "lint", "--format", "xml").want(t, 2, "--format", "goose", "sarif")
}

func TestLintSinceAVersionOfOneSource(t *testing.T) {
	t.Parallel()
	pairs := []string{"1_users.up.sql", "CREATE TABLE users (id INTEGER PRIMARY KEY, nick TEXT);\n", "1_users.down.sql", "DROP TABLE users;\n",
		"2_less.up.sql", "ALTER TABLE users DROP COLUMN nick;\n", "2_less.down.sql", "ALTER TABLE users ADD COLUMN nick TEXT;\n"}
	app, flags := migrations(t, pairs...)
	for i := range pairs {
		pairs[i] = strings.ReplaceAll(pairs[i], "users", "members")
	}
	auth, _ := migrations(t, pairs...)
	both := []string{"--dir", "app=" + app, "--dir", "auth=" + auth}
	database := append(both, flags[2:]...)
	for _, tt := range []struct {
		flags       []string
		since, says string
	}{
		{append(both, "--dialect", "sqlite"), "1", "2 warnings"},
		{append(both, "--dialect", "sqlite"), "auth:1", "2 warnings"},
		{append(both, "--dialect", "sqlite"), "auth:2", "1 warning,"},
		{append(both, "--dialect", "sqlite"), "2", "0 warnings"},
		{database, "auth:2", "1 warning,"},
	} {
		r := migrateCommand(t, tt.flags, "lint", "--fail-on", "never", "--since", tt.since)
		r.want(t, 0, tt.says)
		if tt.since == "auth:2" && !strings.Contains(r.stdout, app) {
			t.Errorf("it is of the wrong source: %s", r.stdout)
		}
	}
	migrateCommand(t, database, "up").want(t, 0)
	migrateCommand(t, database, "lint", "--fail-on", "never", "--since", "auth:1").want(t, 0, "1 warning,") // app's are applied
	migrateCommand(t, database, "lint", "--since", "nobody:1").want(t, 2, "no --dir is that of nobody")
}

func TestUpRefusesWhatTheLinterCallsAnError(t *testing.T) {
	t.Parallel()
	_, flags := migrations(t, "1_a.up.sql", "CREATE TABLE a (id INTEGER PRIMARY KEY);\nINSERT INTO a VALUES (1);\n", "1_a.down.sql", "DROP TABLE a;\n")
	migrateCommand(t, flags, "up").want(t, 0)
	put(t, flags[1], "2_b.up.sql", "UPDATE a SET id = 2 WHERE id = NULL;\n", "2_b.down.sql", "")
	migrateCommand(t, flags, "up", "--lint", "error").want(t, 1, "nothing was run", "[compare-with-null]", "-- lint:allow compare-with-null WHY")
	if r := migrateCommand(t, flags, "up", "--dry-run"); r.code != 0 || !strings.Contains(r.stdout, "-- warning: 2_b.up.sql:1:") {
		t.Errorf("%d %s", r.code, r.stdout)
	}
	if r := migrateCommand(t, flags, "up", "--lint", "off"); r.code != 0 || strings.Contains(r.stderr, "warning") {
		t.Errorf("%d %s", r.code, r.stderr)
	}
}

func TestSeedOnTheCommandLine(t *testing.T) {
	t.Parallel()
	_, flags := migrations(t, "1_a.up.sql", "CREATE TABLE a (id INTEGER PRIMARY KEY, name TEXT);\n", "1_a.down.sql", "DROP TABLE a;\n")
	migrateCommand(t, flags, "up").want(t, 0)
	seeds := filepath.Join(t.TempDir(), "seeds")
	if err := os.MkdirAll(filepath.Join(seeds, "development"), 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, seeds, "1_a.csv", "id,name\n1,one\n2,two\n", "development/2_more.sql", "INSERT INTO a VALUES (3, 'three');\n")
	seed := func(more ...string) result {
		return run(t, "", append(append([]string{"seed"}, more...), "--dir", seeds, "--database", flags[3])...)
	}
	seed().want(t, 2, "--env development")
	if r := seed("--env", "development", "--dry-run"); r.code != 0 || !strings.Contains(r.stdout, "up seed:1 a (1_a.csv)") || !strings.Contains(r.stdout, "VALUES (3, 'three');") {
		t.Errorf("%d %s %s", r.code, r.stdout, r.stderr)
	}
	seed("--env", "production").want(t, 1, "nothing was run", "1_a.csv", "buffkit seed VERSION")
	if r := seed("--env", "development"); r.code != 0 || len(r.lines()) != 2 {
		t.Errorf("%d %s %s", r.code, r.stdout, r.stderr)
	}
	seed("--env", "development").want(t, 0, "nothing to do")
	if r := seed("--env", "development", "--status"); r.code != 0 || strings.Count(r.stdout, "applied") != 2 {
		t.Errorf("%s", r.stdout)
	}
	put(t, seeds, "4_a.jsonl", "{\"id\": 9}\n{\"id\": }\n")
	seed("--env", "development").want(t, 1, "4_a.jsonl: line 2", "Nothing of it is left")
}

func TestSeedAgainForAnAppAndByName(t *testing.T) {
	t.Parallel()
	_, flags := migrations(t, "1_a.up.sql", "CREATE TABLE a (id INTEGER PRIMARY KEY, name TEXT);\n", "1_a.down.sql", "DROP TABLE a;\n")
	seeds := t.TempDir()
	put(t, seeds, "1_a.csv", "# depends: app:1\n# requires-app: 2.0\nid,name\n1,one\n", "2_a.csv", "id,name\n2,two\n")
	seed := func(more ...string) result {
		return run(t, "", append(append([]string{"seed", "--env", "development"}, more...), "--dir", seeds, "--database", flags[3])...)
	}
	seed().want(t, 1, "app:1, which isn't applied", "run buffkit migrate up")
	migrateCommand(t, flags, "up").want(t, 0)
	seed("--app-version", "1.9").want(t, 1, "nothing was run", "needs the app from version 2.0 on")
	seed("--app-version", "soon").want(t, 2, "is no version of an app")
	seed("app:1").want(t, 2, "app:1 is no seed")
	if r := seed("seed:1", "--app-version", "2.0"); r.code != 0 || len(r.lines()) != 1 {
		t.Errorf("%d %s %s", r.code, r.stdout, r.stderr)
	}
	seed().want(t, 0, "up seed:2")
	migrateCommand(t, flags, "reset", "--yes").want(t, 0, "warning: the ledger still has 2 seeds as applied", "buffkit seed --again")
	migrateCommand(t, flags, "up").want(t, 0)
	seed().want(t, 0, "nothing to do")
	if r := seed("--again"); r.code != 0 || len(r.lines()) != 2 {
		t.Errorf("%d %s %s", r.code, r.stdout, r.stderr)
	}
	if r := seed("--again", "2", "--dry-run"); r.code != 0 || !strings.Contains(r.stdout, "again, as asked for") || strings.Contains(r.stdout, "seed:1") {
		t.Errorf("%d %s %s", r.code, r.stdout, r.stderr)
	}
}

func TestGenerateMigrationOnTheCommandLine(t *testing.T) {
	t.Parallel()
	list := run(t, "", "generate", "migration", "--list")
	list.want(t, 0)
	if !strings.Contains(list.stdout, "rename-column") || !strings.Contains(list.stdout, "--table --column:TYPE --to") {
		t.Errorf("%s", list.stdout)
	}
	folder, flags := migrations(t, "1_a.up.sql", "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT);\nINSERT INTO users (name) VALUES ('ada');\n", "1_a.down.sql", "DROP TABLE users;\n")
	rename := []string{"generate", "migration", "--pattern", "rename-column", "--database", flags[3], "--dir", folder, "--table", "users", "--column", "name:text", "--to", "full_name"}
	made := run(t, "", rename...)
	made.want(t, 0, "step 3 of 3 isn't written yet", "when no release reads or writes name any more, run this again with --step 3")
	if len(made.lines()) != 2 {
		t.Fatalf("%s", made.stdout)
	}
	if r := migrateCommand(t, flags, "up", "--lint", "error"); r.code != 0 || strings.Contains(r.stderr, "warning") {
		t.Errorf("%d %s", r.code, r.stderr)
	}
	if r := migrateCommand(t, flags, "dump"); !strings.Contains(r.stdout, "full_name") || !strings.Contains(r.stdout, "users_name_sync_i") {
		t.Errorf("the release that runs lost its column: %s", r.stdout)
	}
	last := run(t, "", append(rename, "--step", "3")...)
	if last.want(t, 0); len(last.lines()) != 1 || !strings.HasSuffix(last.stdout, "_3_contract.sql\n") || last.stderr != "" {
		t.Errorf("%s%s", last.stdout, last.stderr)
	}
	if r := migrateCommand(t, flags, "up", "--lint", "error"); r.code != 0 || len(r.lines()) != 1 {
		t.Errorf("%d %s", r.code, r.stderr)
	}
	if r := migrateCommand(t, flags, "dump"); strings.Contains(r.stdout, "sync") {
		t.Errorf("%s", r.stdout)
	}
	run(t, "", append(rename, "--step", "4")...).want(t, 2, "the pattern rename-column has 3")
	if r := run(t, "", "generate", "migration", "--pattern", "soft-delete", "--dialect", "postgres", "--table", "users", "--print"); r.code != 0 || !strings.Contains(r.stdout, "CREATE VIEW users_live") {
		t.Errorf("%s", r.stdout)
	}
	for _, tt := range []struct{ command, says string }{
		{"--dialect sqlite --pattern foreign-key --table a --column b --references c", "use the pattern rebuild"},
		{"--dialect sqlite --pattern nothing --table a", "there are create-table"},
		{"--dialect sqlite --pattern index --table a", "give --column NAME"},
		{"--pattern index --table a --dialect oracle", "use postgres"},
		{"--dialect sqlite", "--list shows them"},
	} {
		run(t, "", append([]string{"generate", "migration"}, strings.Fields(tt.command)...)...).want(t, 2, tt.says)
	}
}

func TestAnOldAppOnTheCommandLine(t *testing.T) {
	t.Parallel()
	_, flags := migrations(t, "1_a.up.sql", "-- requires-app: 2.0\nCREATE TABLE a (id INTEGER PRIMARY KEY);\n", "1_a.down.sql", "DROP TABLE a;\n")
	migrateCommand(t, flags, "up", "--app-version", "1.9.3").want(t, 1, "nothing was run", "needs the app from version 2.0 on", "Deploy the app 2.0 first")
	migrateCommand(t, flags, "up", "--app-version", "1.9.3", "--app-policy", "warn").want(t, 0, "warning:", "version 2.0")
	migrateCommand(t, flags, "validate", "--app-version", "1.9.3").want(t, 1, "the database is newer than this program")
	migrateCommand(t, flags, "up", "--app-version", "soon").want(t, 2, "is no version of an app")
}
