package cli_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/cli"
	"github.com/buffkit/buffkit/migrate"
)

// goose is a folder of goose's and a database in which it has applied the first of two migrations.
func goose(t *testing.T) (folder string, flags []string) {
	t.Helper()
	folder, flags = migrations(t, "00001_users.sql", "-- +goose Up\nCREATE TABLE users (id integer);\n-- +goose Down\nDROP TABLE users;\n",
		"00002_teams.sql", "-- +goose Up\nCREATE TABLE teams (id integer);\n-- +goose Down\nDROP TABLE teams;\n")
	db, err := sql.Open("sqlite", "file:"+strings.TrimPrefix(flags[3], "sqlite:"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, query := range []string{"CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL, is_applied INTEGER NOT NULL, tstamp TIMESTAMP DEFAULT (datetime('now')))",
		"INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, 1), (1, 1), (2, 1), (2, 0)", "CREATE TABLE users (id integer)"} {
		if _, err := db.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	return folder, flags
}

func TestUpBeforeAdoptIsRefused(t *testing.T) {
	t.Parallel()
	_, flags := goose(t)
	flags = append(flags, "--format", "goose")
	for _, command := range []string{"up", "plan", "validate"} {
		migrateCommand(t, flags, command).want(t, 1, "nothing was run", "goose has applied 1 of these migrations, by its ledger goose_db_version",
			"adopt first: buffkit migrate adopt --from goose --dir")
	}
	if r := migrateCommand(t, flags, "status"); r.code != 0 || strings.Count(r.stdout, "pending") != 2 {
		t.Errorf("%d %s", r.code, r.stdout)
	}
	migrateCommand(t, flags[:4], "adopt", "--from", "goose").want(t, 0)
	migrateCommand(t, flags, "up").want(t, 0, "teams")
}

func TestAFolderThatTheLedgerMayKnowIsKept(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		err  error
		kept bool
	}{
		{"the answer to COMMIT was lost", fmt.Errorf("adopt: %w", migrate.ErrUnclear), true},
		{"it was refused", migrate.ErrLocked, false},
		{"it is done", nil, true},
	} {
		folder, _ := migrations(t, "1_a.up.sql", "SELECT 1;\n")
		err := cli.WriteLedger(folder, func() error { return tt.err })
		_, stat := os.Stat(filepath.Join(folder, "1_a.up.sql"))
		if !errors.Is(err, tt.err) || (stat == nil) != tt.kept {
			t.Errorf("%s: %v, the folder: %v", tt.name, err, stat)
		}
		if tt.kept && err != nil && !strings.Contains(err.Error(), folder) {
			t.Errorf("%s: it doesn't name the folder: %v", tt.name, err)
		}
	}
}

func TestAdoptAndGoOnWithTheToolsFiles(t *testing.T) {
	t.Parallel()
	_, flags := goose(t)
	dry := migrateCommand(t, flags, "adopt", "--dry-run")
	dry.want(t, 0, "goose, by its ledger goose_db_version: 1 applied, 1 pending")
	if !strings.Contains(dry.stdout, "app:00001  users  applied, by goose") || !strings.Contains(dry.stdout, "app:00002         pending") {
		t.Errorf("%s", dry.stdout)
	}
	var found struct {
		Tool    string
		Rows    []struct{ Origin string }
		Pending []struct{ Version string }
	}
	asJSON := migrateCommand(t, flags, "adopt", "--dry-run", "--json")
	if err := json.Unmarshal([]byte(asJSON.stdout), &found); err != nil || found.Tool != "goose" || len(found.Rows) != 1 || len(found.Pending) != 1 {
		t.Errorf("%v %s", err, asJSON.stdout)
	}
	migrateCommand(t, flags, "adopt").want(t, 0, "--format goose")
	migrateCommand(t, flags, "adopt").want(t, 1, "the ledger has app:00001 already")
	migrateCommand(t, flags, "up").want(t, 1, "this stands above the first section") // without --format
	flags = append(flags, "--format", "goose")
	if up := migrateCommand(t, flags, "up"); up.code != 0 || !strings.HasPrefix(up.stdout, "up\tapp:00002\tteams") || len(up.lines()) != 1 {
		t.Errorf("%d %s %s", up.code, up.stdout, up.stderr)
	}
	migrateCommand(t, flags, "status", "--check").want(t, 0)
	migrateCommand(t, flags, "down", "2").want(t, 0)
}

func TestAdoptVerifiesByReplay(t *testing.T) {
	t.Parallel()
	_, flags := goose(t)
	if r := migrateCommand(t, flags, "adopt", "--verify", "--dry-run"); r.code != 0 || !strings.Contains(r.stderr, "verified by replay on the scratch database: 1 applied, differences: 0") {
		t.Errorf("%d %s", r.code, r.stderr)
	}
	db, err := sql.Open("sqlite", "file:"+strings.TrimPrefix(flags[3], "sqlite:"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, query := range []string{"ALTER TABLE users ADD COLUMN note text", "CREATE TABLE stray (id integer)"} {
		if _, err := db.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	migrateCommand(t, flags, "adopt", "--verify").want(t, 1, "nothing was adopted", "extra: table stray\n  + CREATE TABLE stray (id integer)\n",
		"different: table users\n  - CREATE TABLE users (id integer)\n  + CREATE TABLE users (id integer, note text)\n", "--accept-differences")
	var found struct {
		Verified struct {
			Replayed    int
			Differences []struct{ What, Object string }
		}
	}
	asJSON := migrateCommand(t, flags, "adopt", "--verify", "--json")
	if err := json.Unmarshal([]byte(asJSON.stdout), &found); err != nil || asJSON.code != 1 || found.Verified.Replayed != 1 || len(found.Verified.Differences) != 2 ||
		found.Verified.Differences[0].What != "extra" || found.Verified.Differences[1].Object != "table users" {
		t.Errorf("%v %d %s", err, asJSON.code, asJSON.stdout)
	}
	if r := migrateCommand(t, flags, "status", "--format", "goose"); strings.Count(r.stdout, "pending") != 2 {
		t.Errorf("it was adopted: %s", r.stdout)
	}
	migrateCommand(t, flags, "adopt", "--verify", "--accept-differences").want(t, 0, "differences: 2", "done")
}

func TestAdoptWritesTheFilesInOurFormat(t *testing.T) {
	t.Parallel()
	folder, flags := goose(t)
	ours := filepath.Join(t.TempDir(), "ours")
	migrateCommand(t, flags, "adopt", "--write", folder).want(t, 2, "the name of a new folder")
	migrateCommand(t, flags, "adopt", "--write", ours).want(t, 0, "status --dir "+ours)
	flags = []string{"--dir", ours, flags[2], flags[3]}
	migrateCommand(t, flags, "up").want(t, 0, "teams")
	migrateCommand(t, flags, "down", "2").want(t, 0)
}

func TestWrongUsageOfAdopt(t *testing.T) {
	t.Parallel()
	_, flags := goose(t)
	_, empty := migrations(t, "1_a.sql", "-- +goose Up\n")
	for _, tt := range []struct {
		name, says string
		code       int
		args       []string
	}{
		{"no such tool", "sql-migrate, pop, tern or bun", 2, append([]string{"adopt", "--from", "flyway"}, flags...)},
		{"another tool", "there is no table bun_migrations", 1, append([]string{"adopt", "--from", "bun"}, flags...)},
		{"no ledger", "is it the right database?", 1, append([]string{"adopt"}, empty...)},
		{"a format", "--from instead of --format", 2, append([]string{"adopt", "--format", "goose"}, flags...)},
		{"differences that nobody looks for", "needs --verify", 2, append([]string{"adopt", "--accept-differences"}, flags...)},
		{"a scratch database of another kind", "--scratch is PostgreSQL, and the database is SQLite", 2, append([]string{"adopt", "--scratch", "postgres://127.0.0.1:1/x"}, flags...)},
		{"a format that isn't one", "no tool is called", 2, append([]string{"status", "--format", "flyway"}, flags...)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			run(t, "", append([]string{"migrate"}, tt.args...)...).want(t, tt.code, tt.says)
		})
	}
}
