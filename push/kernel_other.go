//go:build !linux && !darwin && !dragonfly && !freebsd && !netbsd && !openbsd

package push

import (
	"errors"
	"syscall"
	"time"
)

// kernel isn't there: streams over TCP keep their goroutines.
type kernel struct{ medium }

const canPoll = false

func newKernel() (*kernel, error) { return nil, errors.ErrUnsupported }

func (*kernel) remove(int32) error { return errors.ErrUnsupported }

func tune(syscall.Conn, int, time.Duration) {}
