package servers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// SmallDisk is a file system of its own, in memory, that can be filled to the last byte.
type SmallDisk struct{ Dir string }

// ErrNoMount is what NewSmallDisk returns to whom the system doesn't let mount.
var ErrNoMount = errors.New("servers: mounting a small disk takes root and a system that lets it")

// NewSmallDisk mounts one of so many bytes.
func NewSmallDisk(bytes int64) (*SmallDisk, error) {
	dir, err := os.MkdirTemp("", "buffkit-disk-")
	if err != nil {
		return nil, err
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, fmt.Sprintf("size=%d,mode=755", bytes)); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrNoMount, err), os.Remove(dir))
	}
	return &SmallDisk{dir}, nil
}

func (d *SmallDisk) filler() string { return filepath.Join(d.Dir, "filler") }

// Fill leaves no byte free.
func (d *SmallDisk) Fill() error {
	file, err := os.OpenFile(d.filler(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	for size := 1 << 20; size > 0; {
		n, err := file.Write(make([]byte, size))
		switch {
		case errors.Is(err, syscall.ENOSPC) && n == 0:
			size /= 2
		case err != nil && !errors.Is(err, syscall.ENOSPC):
			return err
		}
	}
	return nil
}

// MakeRoom takes back what Fill has taken.
func (d *SmallDisk) MakeRoom() error {
	err := os.Remove(d.filler())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// ReadOnly lets nothing be written to it any more.
func (d *SmallDisk) ReadOnly() error {
	return syscall.Mount("tmpfs", d.Dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY|syscall.MS_NOSUID|syscall.MS_NODEV, "")
}

// Remove unmounts it.
func (d *SmallDisk) Remove() error {
	return errors.Join(syscall.Unmount(d.Dir, syscall.MNT_DETACH), os.Remove(d.Dir))
}
