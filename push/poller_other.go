//go:build !linux

package push

import "errors"

// poller isn't there: streams keep their goroutines.
type poller struct{}

const canPoll = false

type readiness struct {
	fd, tag        int32
	gone, writable bool
}

func newPoller() (*poller, error)                          { return nil, errors.ErrUnsupported }
func (*poller) add(fd, tag int32) error                    { return errors.ErrUnsupported }
func (*poller) wantWrite(fd, tag int32, want bool) error   { return errors.ErrUnsupported }
func (*poller) remove(fd int32) error                      { return errors.ErrUnsupported }
func (*poller) wait(seen []readiness) ([]readiness, error) { return seen, errors.ErrUnsupported }
func (*poller) close() error                               { return nil }
