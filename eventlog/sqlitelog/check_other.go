//go:build !linux

package sqlitelog

import "errors"

// statDisk knows nothing: elsewhere systems tell it in other ways.
func statDisk(string) (disk, error) { return disk{}, errors.ErrUnsupported }
