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
	migrateCommand(t, flags, "squash", "--to", "2", "--without-data", "--only-this-database").want(t, 0, "removed the 3 files")
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

func TestSquashRemovesNothingThatAnotherDatabaseMayNeed(t *testing.T) {
	t.Parallel()
	const a, b = "CREATE TABLE a (n int);\n", "CREATE TABLE b (n int);\n"
	for _, tt := range []struct {
		name  string
		files []string
		says  []string
		left  string
	}{
		{"files for every database", []string{"1_a.up.sql", a, "2_b.sqlite.up.sql", b}, []string{"nothing was removed", "may need 1_a.up.sql\n", "--only-this-database"},
			"1_a.up.sql 2_b.sqlite.up.sql 2_squash.sqlite.up.sql.new"},
		{"files for another one beside", []string{"1_a.sqlite.up.sql", a, "2_b.postgres.up.sql", b, "2_b.sqlite.up.sql", b}, []string{"may need 2_b.postgres.up.sql\n"},
			"1_a.sqlite.up.sql 2_b.postgres.up.sql 2_b.sqlite.up.sql 2_squash.sqlite.up.sql.new"},
		{"files for this one alone", []string{"1_a.sqlite.up.sql", a, "2_b.sqlite3.up.sql", b, "3_c.up.sql", ""}, []string{"removed the 2 files"},
			"2_squash.sqlite.up.sql 3_c.up.sql"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			folder, flags := migrations(t, tt.files...)
			migrateCommand(t, flags, "up").want(t, 0)
			migrateCommand(t, flags, "squash", "--to", "2").want(t, 0, tt.says...)
			entries, err := os.ReadDir(folder)
			if err != nil {
				t.Fatal(err)
			}
			var left []string
			for _, entry := range entries {
				left = append(left, entry.Name())
			}
			if got := strings.Join(left, " "); got != tt.left {
				t.Errorf("left are %s", got)
			}
			migrateCommand(t, flags, "up").want(t, 0, "nothing to do")
		})
	}
}

func TestSquashRefusesFilesOfAnotherTool(t *testing.T) {
	t.Parallel()
	folder, flags := goose(t)
	migrateCommand(t, flags, "adopt").want(t, 0)
	format := append(flags[:len(flags):len(flags)], "--format", "goose")
	migrateCommand(t, format, "up").want(t, 0)
	migrateCommand(t, format, "squash", "--to", "2", "--only-this-database").want(t, 2, "the files of app are those of goose", "adopt --format goose --write NEWFOLDER")
	named := []string{"--dir", "app=" + folder, flags[2], flags[3], "--format", "app=goose"}
	migrateCommand(t, named, "squash", "--to", "app:2", "--only-this-database").want(t, 2, "those of goose")
	if left, err := os.ReadDir(folder); err != nil || len(left) != 2 {
		t.Errorf("%v, %v", left, err)
	}

	// What it says to do works: the ledger takes the files that are written for those that it has.
	ours := filepath.Join(t.TempDir(), "ours")
	migrateCommand(t, format, "adopt", "--write", ours).want(t, 0, "without --format", ours)
	migrateCommand(t, format, "adopt", "--write", ours).want(t, 2, "the name of a new folder")
	migrateCommand(t, []string{"--dir", ours, flags[2], flags[3]}, "status", "--check").want(t, 0)
}

func TestStatusTellsWhatASquashStandsForAndTheDatabaseLacks(t *testing.T) {
	t.Parallel()
	folder, flags := migrations(t, "1_a.up.sql", "CREATE TABLE a (n int);\n", "3_c.up.sql", "CREATE TABLE c (n int);\n")
	migrateCommand(t, flags, "up").want(t, 0)
	put(t, folder, "2_b.up.sql", "CREATE TABLE b (n int);\n") // merged late
	elsewhere := []string{"--dir", folder, "--database", "sqlite:" + filepath.Join(t.TempDir(), "elsewhere.db")}
	migrateCommand(t, elsewhere, "up").want(t, 0)
	migrateCommand(t, elsewhere, "squash", "--to", "3", "--only-this-database").want(t, 0)
	migrateCommand(t, elsewhere, "status", "--check").want(t, 0)
	migrateCommand(t, flags, "up").want(t, 1, "it stands for 3 migrations, of which this database has 2; it lacks app:2", "repair app:3 --checksum")
	migrateCommand(t, flags, "validate").want(t, 1, "it lacks app:2")
	if r := migrateCommand(t, flags, "status", "--check"); r.code != 1 || !strings.Contains(r.stdout, "not all that its file stands for: 1 lacking") {
		t.Errorf("%d %s%s", r.code, r.stdout, r.stderr)
	}
}
