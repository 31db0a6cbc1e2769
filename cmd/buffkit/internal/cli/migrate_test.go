package cli_test

import (
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/cli"
	"github.com/buffkit/buffkit/internal/servers"
)

// migrations is a folder with files, and what names it and a new database.
func migrations(t *testing.T, pairs ...string) (folder string, flags []string) {
	t.Helper()
	folder = filepath.Join(t.TempDir(), "migrations")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, folder, pairs...)
	return folder, []string{"--dir", folder, "--database", "sqlite:" + filepath.Join(t.TempDir(), "app.db")}
}

func put(t *testing.T, folder string, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if err := os.WriteFile(filepath.Join(folder, pairs[i]), []byte(pairs[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func migrateCommand(t *testing.T, flags []string, args ...string) result {
	t.Helper()
	return run(t, "", append(append([]string{"migrate"}, args...), flags...)...)
}

func TestWhoOnlyLooksMakesNoFile(t *testing.T) {
	t.Parallel()
	_, flags := migrations(t, "1_a.up.sql", "CREATE TABLE a (n int);\n", "1_a.down.sql", "DROP TABLE a;\n")
	path := strings.TrimPrefix(flags[3], "sqlite:")
	for _, command := range [][]string{{"status"}, {"plan"}, {"up", "--dry-run"}, {"validate"}, {"version"}, {"stats"}, {"dump"}, {"lint"}, {"wait"}} {
		r := migrateCommand(t, flags, command...)
		if _, err := os.Stat(path); r.code != 0 || err == nil || !strings.Contains(r.stderr, path+" isn't there yet: the next up makes it") {
			t.Errorf("%q: %d %s, and the file: %v", command, r.code, r.stderr, err)
		}
	}
	migrateCommand(t, flags, "up").want(t, 0)
	if r := migrateCommand(t, flags, "status"); r.code != 0 || r.stderr != "" {
		t.Errorf("%d %s", r.code, r.stderr)
	}
}

// A mistaken name leaves no empty file behind.
func TestWhoUndoesOrRepairsMakesNoFile(t *testing.T) {
	t.Parallel()
	_, flags := migrations(t, "1_a.up.sql", "CREATE TABLE a (n int);\n", "1_a.down.sql", "DROP TABLE a;\n")
	path := strings.TrimPrefix(flags[3], "sqlite:")
	for command, code := range map[string]int{"down": 0, "redo": 0, "reset --yes": 0, "repair 1 --forget": 1, "repair 1 --applied": 1, "adopt --from goose": 1, "baseline 1": 1} {
		r := migrateCommand(t, flags, strings.Fields(command)...)
		if _, err := os.Stat(path); r.code != code || err == nil || !strings.Contains(r.stderr, path+" isn't there") {
			t.Errorf("%q: %d %s, and the file: %v", command, r.code, r.stderr, err)
		}
	}
}

func TestWhateverAFileIsCalledIsItsName(t *testing.T) {
	t.Parallel()
	folder, _ := migrations(t, "1_a.up.sql", "CREATE TABLE a (n int);\n")
	for name, file := range map[string]string{"a#b.db": "a#b.db", "100%.db": "100%.db", "with space.db": "with space.db", "5%25 of %41.db": "5% of A.db", "%41%.db": "A%.db"} {
		parent := t.TempDir()
		path, flags := filepath.Join(parent, file), []string{"--dir", folder, "--database", "sqlite:" + filepath.Join(parent, name)}
		for command, code := range map[string]int{"status": 0, "down": 0, "repair 1 --applied": 1} {
			r := migrateCommand(t, flags, strings.Fields(command)...)
			if _, err := os.Stat(path); r.code != code || err == nil || !strings.Contains(r.stderr, path+" isn't there") {
				t.Errorf("%q of %s: %d %s, and the file: %v", command, name, r.code, r.stderr, err)
			}
		}
		migrateCommand(t, flags, "up").want(t, 0)
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
		if r := migrateCommand(t, flags, "status"); r.code != 0 || r.stderr != "" {
			t.Errorf("%s: %d %s", name, r.code, r.stderr)
		}
	}
}

func TestANewMigrationGoesIntoTheFolderOfItsSource(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "auth")
	r := run(t, "", "migrate", "create", "users", "--dir", "auth="+folder)
	if r.want(t, 0); !strings.HasPrefix(r.stdout, folder) {
		t.Errorf("%q", r.stdout)
	}
}

func TestFromNothingToAMigratedDatabase(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "new")
	created := run(t, "", "migrate", "create", "add users", "--dir", folder)
	created.want(t, 0)
	lines := created.lines()
	if len(lines) != 2 || !strings.HasSuffix(lines[0], "_add_users.up.sql") || !strings.HasSuffix(lines[1], "_add_users.down.sql") {
		t.Fatalf("%q", lines)
	}
	if err := os.WriteFile(lines[0], []byte("CREATE TABLE users (id integer);\nINSERT INTO users VALUES (1);\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := []string{"--dir", folder, "--database", "sqlite:" + filepath.Join(t.TempDir(), "app.db")}

	dry := migrateCommand(t, flags, "up", "--dry-run")
	dry.want(t, 0)
	if !strings.Contains(dry.stdout, "BEGIN IMMEDIATE;\nCREATE TABLE users (id integer);\nINSERT INTO users VALUES (1);\n") {
		t.Errorf("the plan: %s", dry.stdout)
	}
	if r := migrateCommand(t, flags, "status", "--check"); r.code != 1 || !strings.Contains(r.stdout, "pending") {
		t.Errorf("%d %s", r.code, r.stdout)
	}
	up := migrateCommand(t, flags, "up")
	up.want(t, 0, "2 of 2", "INSERT INTO users")
	if !strings.HasPrefix(up.stdout, "up\tapp:") {
		t.Errorf("%q", up.stdout)
	}
	migrateCommand(t, flags, "up").want(t, 0, "nothing to do")
	migrateCommand(t, flags, "status", "--check").want(t, 0)
	if r := migrateCommand(t, flags, "version"); !strings.HasPrefix(r.stdout, "app:20") {
		t.Errorf("%q", r.stdout)
	}
	migrateCommand(t, flags, "validate").want(t, 0, "all is well")
	migrateCommand(t, flags, "redo").want(t, 1, "Nothing of it is left", "already exists") // its down is empty
}

func TestMigrateSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	t.Parallel()
	folder, flags := migrations(t, "1_a.up.sql", "CREATE TABLE a (n int);\nINSERT INTO a VALUES ('x);\n")
	migrateCommand(t, flags, "up").want(t, 1, "nothing was run", "1_a.up.sql:2:23", "INSERT INTO a VALUES ('x);", "close it with '")
	put(t, folder, "1_a.up.sql", "CREATE TABLE a (n int);\nINSERT INTO nowhere VALUES (1);\n")
	migrateCommand(t, flags, "up").want(t, 1, "at statement 2 of 2", "1_a.up.sql:2:1", "no such table: nowhere", "Nothing of it is left")
	put(t, folder, "1_a.up.sql", "CREATE TABLE a (n int);\n")
	migrateCommand(t, flags, "up").want(t, 0)
	put(t, folder, "1_a.up.sql", "CREATE TABLE a (n bigint);\n")
	migrateCommand(t, flags, "up").want(t, 1, "changed after it was applied", "buffkit migrate repair app:1 --checksum")
	migrateCommand(t, flags, "repair", "app:1", "--checksum").want(t, 0)
	migrateCommand(t, flags, "up").want(t, 0)
	migrateCommand(t, flags, "down").want(t, 1, "no down script", "1_a") // the row is kept
	migrateCommand(t, flags, "status", "--check").want(t, 0)
}

// Where a backslash is a character like others, a string may end with one.
func TestFilesAreReadAsTheServerReadsThem(t *testing.T) {
	t.Parallel()
	server, err := servers.MariaDB()
	started(t, server, err)
	db, err := sql.Open("mysql", server.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE app"); err != nil {
		t.Fatal(err)
	}
	folder, _ := migrations(t, "1_a.up.sql", "CREATE TABLE \"a\" (s text);\nINSERT INTO a VALUES ('C:\\');\nINSERT INTO \"a\" VALUES ('D:\\');\n", "1_a.down.sql", "DROP TABLE \"a\";\n")
	flags := []string{"--dir", folder, "--database", mysqlURL("mariadb", server.DSN("app")) + "?sql_mode=%27ANSI_QUOTES,NO_BACKSLASH_ESCAPES%27"}
	migrateCommand(t, flags, "up").want(t, 0, "3 of 3")
	migrateCommand(t, flags, "redo").want(t, 0)
}

func TestMigrateInJSON(t *testing.T) {
	t.Parallel()
	_, flags := migrations(t, "1_a.up.sql", "CREATE TABLE a (n int);\n", "1_a.down.sql", "DROP TABLE a;")
	var plan struct {
		Dialect string
		Steps   []struct{ Statements int }
	}
	if r := migrateCommand(t, flags, "up", "--dry-run", "--json"); json.Unmarshal([]byte(r.stdout), &plan) != nil || plan.Dialect != "sqlite" || plan.Steps[0].Statements != 1 {
		t.Errorf("%s", r.stdout)
	}
	var done struct {
		Steps []struct{ Direction string }
	}
	if r := migrateCommand(t, flags, "up", "--json"); json.Unmarshal([]byte(r.stdout), &done) != nil || done.Steps[0].Direction != "up" {
		t.Errorf("%s", r.stdout)
	}
	var status []struct{ State, At string }
	if r := migrateCommand(t, flags, "status", "--json"); json.Unmarshal([]byte(r.stdout), &status) != nil || status[0].State != "applied" || status[0].At == "" {
		t.Errorf("%s", r.stdout)
	}
}

func TestEveryMigrateCommandPrintsJSON(t *testing.T) {
	t.Parallel()
	_, flags := migrations(t, "1_a.up.sql", "CREATE TABLE a (id INTEGER PRIMARY KEY);\n", "1_a.down.sql", "DROP TABLE a;\n",
		"2_b.up.sql", "CREATE TABLE b (id INTEGER PRIMARY KEY);\n", "2_b.down.sql", "DROP TABLE b;\n")
	_, goose := goose(t)
	elsewhere := t.TempDir()
	tested := map[string]bool{}
	for _, tt := range []struct {
		flags   []string
		command string
		says    string
	}{
		{flags, "wait", `{"waited_ns":`},
		{flags, "lint", `"counts"`},
		{flags, "version", "[]\n"},
		{flags, "plan", `"dialect":"sqlite"`},
		{flags, "validate", `{"valid":true,"problems":[]}`},
		{flags, "up", `"steps"`},
		{flags, "redo", `"steps"`},
		{flags, "status", `"state":"applied"`},
		{flags, "version", `[{"Source":"app","Version":"2"}]`},
		{flags, "stats", `"took_ns"`},
		{flags, "dump", `CREATE TABLE a (id INTEGER PRIMARY KEY);`},
		{flags, "dump --output " + filepath.Join(elsewhere, "schema.sql"), `{"file":"` + elsewhere},
		{flags, "down", `"steps"`},
		{flags, "reset --yes", `"steps"`},
		{flags, "baseline 1", `{"baseline":{"Source":"app","Version":"1"}}`},
		{flags, "repair 1 --forget", `{"ref":{"Source":"app","Version":"1"},"action":"forget"}`},
		{flags, "up", `"steps"`},
		{flags, "squash --to 2 --only-this-database", `"removed":["1_a.up.sql","1_a.down.sql","2_b.up.sql","2_b.down.sql"]`},
		{goose, "adopt", `"tool":"goose"`},
		{[]string{"--dir", elsewhere}, "create b", `{"files":["` + elsewhere},
	} {
		words := strings.Fields(tt.command + " --json")
		tested[words[0]] = true
		if r := migrateCommand(t, tt.flags, words...); r.code != 0 || !json.Valid([]byte(r.stdout)) || !strings.Contains(r.stdout, tt.says) {
			t.Errorf("%s: %d %q, want %s; %s", tt.command, r.code, r.stdout, tt.says, r.stderr)
		}
	}
	for _, words := range cli.Commands() {
		if len(words) == 2 && words[0] == "migrate" && !tested[words[1]] {
			t.Errorf("%q wasn't tried", words)
		}
	}
}

func TestValidateInJSONListsTheProblems(t *testing.T) {
	t.Parallel()
	_, flags := migrations(t, "1_a.up.sql", "-- depends: auth:1\nCREATE TABLE a (n int);\n", "2_b.up.sql", "INSERT INTO a VALUES ('x);\n")
	var found struct {
		Valid    bool
		Problems []struct{ Message, Hint string }
	}
	r := migrateCommand(t, flags, "validate", "--json")
	r.want(t, 1, "close it with '")
	if err := json.Unmarshal([]byte(r.stdout), &found); err != nil || found.Valid || len(found.Problems) == 0 || found.Problems[0].Message == "" {
		t.Errorf("%v %s", err, r.stdout)
	}
}

func TestWhatNeedsNoMigrationsNeedsNoFolder(t *testing.T) {
	t.Parallel()
	_, flags := migrations(t, "1_a.up.sql", "CREATE TABLE a (n int);\n")
	migrateCommand(t, flags, "up").want(t, 0)
	for _, command := range []string{"wait", "version", "stats", "dump"} {
		migrateCommand(t, flags[2:], command).want(t, 0)
		migrateCommand(t, flags[2:], command, "--dir", "nowhere").want(t, 0)
	}
	if r := migrateCommand(t, flags[2:], "version"); r.stdout != "app:1\n" {
		t.Errorf("%q", r.stdout)
	}
	migrateCommand(t, flags[2:], "status").want(t, 1, "give --dir")
}

func TestPlanIsTheDryRunOfUp(t *testing.T) {
	t.Parallel()
	_, flags := migrations(t, "1_a.up.sql", "CREATE TABLE a (n int);\n", "2_b.up.sql", "CREATE TABLE b (n int);\n")
	for _, more := range [][]string{nil, {"--json"}, {"--to", "1"}} {
		plan, dry := migrateCommand(t, flags, append([]string{"plan"}, more...)...), migrateCommand(t, flags, append([]string{"up", "--dry-run"}, more...)...)
		if plan.code != 0 || plan.stdout != dry.stdout || !strings.Contains(plan.stdout, "1_a.up.sql") || strings.Contains(plan.stdout, "2_b") != (len(more) < 2) {
			t.Errorf("%q: %d\n%s\nand\n%s", more, plan.code, plan.stdout, dry.stdout)
		}
	}
	if r := migrateCommand(t, flags, "version"); r.stdout != "" {
		t.Errorf("something was applied: %s", r.stdout)
	}
}

func TestSeveralSourcesOnTheCommandLine(t *testing.T) {
	t.Parallel()
	app, flags := migrations(t, "1_a.up.sql", "-- depends: auth:1\n")
	auth, _ := migrations(t, "1_x.up.sql", "")
	r := run(t, "", "migrate", "up", "--dir", "app="+app, "--dir", "auth="+auth, flags[2], flags[3])
	r.want(t, 0)
	if len(r.lines()) != 2 || !strings.Contains(r.lines()[0], "auth:1") {
		t.Errorf("%q", r.stdout)
	}
}

func TestWrongUsageOfMigrate(t *testing.T) {
	t.Parallel()
	_, flags := migrations(t)
	tests := []struct{ name, command, says string }{
		{"no database", "up --dir " + flags[1], "--database sqlite:app.db"},
		{"no such database", "up --database oracle:x --dir " + flags[1], "use sqlite:FILE"},
		{"no scheme", "up --database app.db --dir " + flags[1], "use sqlite:FILE"},
		{"a database in memory", "up --database sqlite::memory: --dir " + flags[1], "name a file"},
		{"one with a parameter", "up --database sqlite::memory:?cache=shared --dir " + flags[1], "name a file"},
		{"one that a parameter has in memory", "up --database sqlite:app.db?mode=memory --dir " + flags[1], "name a file"},
		{"parameters alone", "up --database sqlite:?mode=ro --dir " + flags[1], "needs a file"},
		{"no name of a database", "up --database mysql://u:secret@localhost --dir " + flags[1], "the name of a database"},
		{"a URL that can't be read", "up --database postgres://u:%zz@x/y --dir " + flags[1], "%-escapes"},
		{"a lock that isn't one", "up --lock table " + strings.Join(flags, " "), "session or lease"},
		{"no number", "down many " + strings.Join(flags, " "), "give a number"},
		{"two ways down", "down 1 --to 0 " + strings.Join(flags, " "), "exclude each other"},
		{"reset without yes", "reset " + strings.Join(flags, " "), "--yes"},
		{"no version", "baseline first " + strings.Join(flags, " "), "names no migration"},
		{"repair of nothing", "repair 1 " + strings.Join(flags, " "), "checksum"},
		{"repair without a statement", "repair 1 --done " + strings.Join(flags, " "), "--statement"},
		{"no such command", "sideways", "unknown command"},
		{"up to a variable that isn't set", "up --to= " + strings.Join(flags, " "), "--to is empty"},
		{"down to one", "down --to= " + strings.Join(flags, " "), "--to is empty"},
		{"a database that isn't set", "up --database= --dir " + flags[1], "--database is empty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := run(t, "", append([]string{"migrate"}, strings.Fields(tt.command)...)...)
			r.want(t, 2, tt.says)
			if strings.Contains(r.stderr, "secret") {
				t.Errorf("the password is in it: %s", r.stderr)
			}
		})
	}
}
