//go:build unix

package sqlitelog_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/sqlitelog"
	"github.com/buffkit/buffkit/internal/servers"
)

// The last byte of a real disk: what SQLite writes beside the file, and maps into memory, finds no room either. What was acknowledged is read while
// nothing can be written, and the log goes on when there is room.
func TestAFileSystemWithoutAFreeByteIsAnErrorAndNothingIsLost(t *testing.T) {
	t.Parallel()
	disk, err := servers.NewSmallDisk(16 << 20)
	if errors.Is(err, servers.ErrNoMount) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = disk.Remove() })
	path := filepath.Join(disk.Dir, "log.db")
	log := openLog(t, path, sqlitelog.Options{})
	var stored []string
	send := func(size int) error {
		data := fmt.Sprintf("%d %s", len(stored), strings.Repeat("x", size))
		_, err := log.Append(t.Context(), eventlog.Event{Topic: "t", Data: []byte(data)})
		if err == nil {
			stored = append(stored, data)
		}
		return err
	}
	for _, size := range []int{100, 100_000} { // the second time much of the file lies in the WAL
		for range 10 {
			if err := send(size); err != nil {
				t.Fatal(err)
			}
		}
		if err := disk.Fill(); err != nil {
			t.Fatal(err)
		}
		for err == nil && len(stored) < 10_000 { // there may be room in what SQLite has already
			err = send(size)
		}
		if !errors.Is(err, eventlog.ErrFull) {
			t.Fatalf("after %d events: %v, want ErrFull", len(stored), err)
		}
		wantData(t, "while it is full", readAll(t, log, eventlog.Cursor{}, "t"), stored)
		if err := disk.MakeRoom(); err != nil {
			t.Fatal(err)
		}
		if err = send(size); err != nil {
			t.Fatalf("with room again: %v", err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	wantData(t, "opened again", readAll(t, openLog(t, path, sqlitelog.Options{}), eventlog.Cursor{}, "t"), stored)
}

func wantData(t *testing.T, when string, got []eventlog.Entry, want []string) {
	t.Helper()
	for i, e := range got {
		if i < len(want) && string(e.Event().Data) != want[i] {
			t.Fatalf("%s: event %d is %.20q, want %.20q", when, i, e.Event().Data, want[i])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d events are there, %d were acknowledged", when, len(got), len(want))
	}
}
