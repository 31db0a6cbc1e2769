//go:build unix && !linux

package servers

import "errors"

// SmallDisk is a file system of its own that can be filled to the last byte.
type SmallDisk struct{ Dir string }

// ErrNoMount is what NewSmallDisk returns where there is none.
var ErrNoMount = errors.New("servers: small disks are for Linux")

// NewSmallDisk returns ErrNoMount.
func NewSmallDisk(int64) (*SmallDisk, error) { return nil, ErrNoMount }

// Fill does nothing.
func (*SmallDisk) Fill() error { return nil }

// MakeRoom does nothing.
func (*SmallDisk) MakeRoom() error { return nil }

// ReadOnly does nothing.
func (*SmallDisk) ReadOnly() error { return nil }

// Remove does nothing.
func (*SmallDisk) Remove() error { return nil }
