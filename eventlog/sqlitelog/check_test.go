package sqlitelog_test

import (
	"bytes"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/sqlitelog"
)

// wantFindings checks that these, in any order, are all that isn't fine, each "level: a part of its text". What this machine's disk is doesn't count.
func wantFindings(t *testing.T, path string, want ...string) {
	t.Helper()
	found, err := sqlitelog.Check(t.Context(), path)
	if err != nil {
		t.Error(err)
		return
	}
	of := func(f eventlog.Finding, want string) bool {
		level, part, _ := strings.Cut(want, ": ")
		return string(f.Level) == level && strings.Contains(f.What, part)
	}
	for _, f := range found {
		if (f.Level == eventlog.LevelOK) != (f.Do == "") {
			t.Errorf("%+v: what isn't fine has something to do", f)
		}
		ofDisk := strings.Contains(f.What, "file system") || strings.Contains(f.What, "are free")
		if f.Level != eventlog.LevelOK && !ofDisk && !slices.ContainsFunc(want, func(want string) bool { return of(f, want) }) {
			t.Errorf("found %+v, want only %q", f, want)
		}
	}
	for _, want := range want {
		if !slices.ContainsFunc(found, func(f eventlog.Finding) bool { return of(f, want) }) {
			t.Errorf("found %+v, want %q", found, want)
		}
	}
}

// newFile returns the path of a log that somebody has filled and closed.
func newFile(t *testing.T) string {
	t.Helper()
	path := newPath(t)
	log := openLog(t, path, sqlitelog.Options{})
	for range 200 {
		if _, err := log.Append(t.Context(), eventlog.Event{Topic: "t", Data: bytes.Repeat([]byte("x"), 1000)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// runIn runs a statement on a file, as another program does.
func runIn(t *testing.T, path, query string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(query); err != nil {
		t.Fatal(err)
	}
}

func TestCheckOfAGoodFileChangesNothing(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	wantFindings(t, path, "ok: there is no file")
	path = newFile(t)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wantFindings(t, path, "ok: is whole", "ok: journal_mode is wal", "ok: the format", "ok: takes writes", "ok: takes files")
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file has changed, %v", err)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("in its folder are %v, %v", files, err)
	}
	openLog(t, path, sqlitelog.Options{})
	wantFindings(t, path, "ok: is whole") // while it is open
}

func TestCheckFindsWhatIsWrongWithTheFile(t *testing.T) {
	t.Parallel()
	t.Run("no folder", func(t *testing.T) {
		t.Parallel()
		wantFindings(t, filepath.Join(t.TempDir(), "nowhere", "log.db"), "error: isn't there")
	})
	t.Run("a file for a folder", func(t *testing.T) {
		t.Parallel()
		wantFindings(t, filepath.Join(newFile(t), "log.db"), "error: no file can be made in the folder")
	})
	t.Run("a folder for a file", func(t *testing.T) {
		t.Parallel()
		wantFindings(t, t.TempDir(), "error: can't be opened to write")
	})
	t.Run("another kind of file", func(t *testing.T) {
		t.Parallel()
		path := newPath(t)
		if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
		wantFindings(t, path, "error: can't be read")
	})
	t.Run("a damaged file", func(t *testing.T) {
		t.Parallel()
		path := newFile(t)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for page := 3; page < len(text)/4096-1; page++ { // but the first pages, which have the schema
			copy(text[page*4096:], bytes.Repeat([]byte{0xa5}, 512))
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		wantFindings(t, path, "error: the file")
	})
	t.Run("another format", func(t *testing.T) {
		t.Parallel()
		path := newFile(t)
		runIn(t, path, "UPDATE buffkit_log SET format = format + 1")
		wantFindings(t, path, "error: and this version reads")
		runIn(t, path, "UPDATE buffkit_log SET format = format - 2")
		wantFindings(t, path, "error: and this version reads")
	})
	t.Run("another journal mode", func(t *testing.T) {
		t.Parallel()
		path := newFile(t)
		runIn(t, path, "PRAGMA journal_mode = delete")
		wantFindings(t, path, "warning: journal_mode is delete")
	})
	t.Run("an app's own database", func(t *testing.T) {
		t.Parallel()
		path := newPath(t)
		runIn(t, path, "CREATE TABLE orders (id INTEGER)")
		wantFindings(t, path, "ok: there is no log in the file yet", "warning: journal_mode is delete")
		found, err := sqlitelog.CheckFile(t.Context(), path)
		if err != nil || slices.ContainsFunc(found, func(f eventlog.Finding) bool {
			return strings.Contains(f.What, "log in") || strings.Contains(f.What, "journal")
		}) {
			t.Errorf("%+v, %v: it isn't about a log", found, err)
		}
	})
}

func TestCheckJudgesFileSystems(t *testing.T) {
	t.Parallel()
	for kind, want := range map[uint32]eventlog.Level{
		0xef53: eventlog.LevelOK, 0x9123683e: eventlog.LevelOK, 0: eventlog.LevelOK, // ext4, btrfs, unknown
		0x6969: eventlog.LevelError, 0xff534d42: eventlog.LevelError, 0x01021994: eventlog.LevelError,
		0x794c7630: eventlog.LevelWarning, 0x65735546: eventlog.LevelWarning,
	} {
		if f := sqlitelog.OfKind(kind); f.Level != want || (f.Do == "") != (want == eventlog.LevelOK) {
			t.Errorf("%#x: %+v, want %s", kind, f, want)
		}
	}
}
