package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A mistaken name must not take the place of the schema that was kept.
func TestADumpOfWhatIsntThereOverwritesNothing(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	put(t, folder, "schema.sql", "CREATE TABLE kept (n int);")
	kept := filepath.Join(folder, "schema.sql")
	run(t, "", "migrate", "dump", "--database", "sqlite:"+filepath.Join(folder, "absent.db"), "--output", kept).want(t, 1, "absent.db isn't there", "nothing is written")
	if text := readFile(t, kept); text != "CREATE TABLE kept (n int);" {
		t.Errorf("%q", text)
	}
}

func TestADumpIsExecutedOnAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	_, flags := migrations(t, "1_a.up.sql", "CREATE TABLE a (n int);\nINSERT INTO a VALUES (1);\nCREATE INDEX a_n ON a (n);\nPRAGMA user_version = 3;\n")
	migrateCommand(t, flags, "up").want(t, 0)
	database := flags[2:] // needs no folder
	first := migrateCommand(t, database, "dump")
	first.want(t, 0, "not in the dump: PRAGMA user_version")
	if !strings.Contains(first.stdout, "CREATE TABLE a (n int);\n") || strings.Contains(first.stdout, "INSERT") || strings.Contains(first.stdout, "buffkit_migrations") {
		t.Errorf("%s", first.stdout)
	}
	file := filepath.Join(t.TempDir(), "1_schema.up.sql")
	if r := migrateCommand(t, database, "dump", "--output", file); r.code != 0 || r.stdout != "" {
		t.Errorf("%d %s", r.code, r.stdout)
	}
	text, err := os.ReadFile(file)
	if err != nil || string(text) != first.stdout {
		t.Fatalf("%s, %v", text, err)
	}
	copied := []string{"--dir", filepath.Dir(file), "--database", "sqlite:" + filepath.Join(t.TempDir(), "copy.db")}
	migrateCommand(t, copied, "up").want(t, 0)
	second := migrateCommand(t, copied[2:], "dump")
	if _, rest, _ := strings.Cut(first.stdout, "\n\n"); !strings.HasSuffix(second.stdout, rest) {
		t.Errorf("the copy:\n%s", second.stdout)
	}
}
