//go:build unix

package sqlitelog_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/buffkit/buffkit/internal/servers"
)

func TestCheckFindsADiskThatIsNone(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		bytes int64
		want  string
	}{
		"small": {32 << 20, "error: are free on its disk"}, "smaller than a log": {256 << 20, "warning: are free on its disk"},
	} {
		disk, err := servers.NewSmallDisk(tt.bytes)
		if errors.Is(err, servers.ErrNoMount) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = disk.Remove() })
		t.Run(name, func(t *testing.T) {
			wantFindings(t, filepath.Join(disk.Dir, "log.db"), "error: the file system is in memory", tt.want)
		})
		if err := disk.ReadOnly(); err != nil {
			t.Fatal(err)
		}
		t.Run(name+" and read-only", func(t *testing.T) {
			wantFindings(t, filepath.Join(disk.Dir, "log.db"), "error: read-only file system")
		})
	}
}
