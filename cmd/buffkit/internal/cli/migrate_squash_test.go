package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSquashPutsOneFileInThePlaceOfMany(t *testing.T) {
	t.Parallel()
	folder, flags := migrations(t, "1_a.up.sql", "CREATE TABLE a (n int);\n", "1_a.down.sql", "DROP TABLE a;\n", "2_b.up.sql", "CREATE TABLE b (n int);\nINSERT INTO b VALUES (1);\n",
		"3_c.up.sql", "CREATE TABLE c (n int);\n")
	migrateCommand(t, flags, "up").want(t, 0)
	migrateCommand(t, flags, "squash").want(t, 2, "--to VERSION")
	migrateCommand(t, flags, "squash", "--to", "2").want(t, 1, "2_b.up.sql:2:1: changes rows: INSERT INTO b", "--without-data")
	if r := migrateCommand(t, flags, "squash", "--to", "2", "--without-data", "--dry-run"); r.code != 0 || !strings.Contains(r.stdout, "CREATE TABLE b") || strings.Contains(r.stdout, "TABLE c") {
		t.Errorf("%d %s%s", r.code, r.stdout, r.stderr)
	}
	migrateCommand(t, flags, "squash", "--to", "2", "--without-data").want(t, 0, "removed the 3 files")
	left, err := os.ReadDir(folder)
	if err != nil || len(left) != 2 || left[0].Name() != "2_squash.sqlite.up.sql" {
		t.Fatalf("%v, %v", left, err)
	}
	migrateCommand(t, flags, "status", "--check").want(t, 0)
	migrateCommand(t, flags, "up").want(t, 0, "nothing to do")
	fresh := []string{"--dir", folder, "--database", "sqlite:" + filepath.Join(t.TempDir(), "fresh.db")}
	if r := migrateCommand(t, fresh, "up"); r.code != 0 || len(r.lines()) != 2 {
		t.Errorf("%d %s%s", r.code, r.stdout, r.stderr)
	}
}
