package redislog

import (
	"context"
	"errors"
	"fmt"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/redislog/redisconn"
)

// explain adds to an error of the server or the network what to do about it.
func (o *Options) explain(err error) error {
	explained := redisconn.Explain(err, "{"+o.Prefix+"}:*")
	if redisconn.Code(err) == redisconn.OutOfMemory {
		return fmt.Errorf("%w: %w (Options.Retention, MaxBytes)", eventlog.ErrFull, explained)
	}
	return explained
}

// outcome is explain for an append: whatever isn't an answer of the server leaves open whether it ran.
func (s *Store) outcome(err error) error {
	switch {
	case redisconn.Code(err) != "", redisconn.Unsent(err):
		return s.opts.explain(err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: no answer from Redis within %v: %w", eventlog.ErrUnknownOutcome, s.opts.Timeout, err)
	}
	return fmt.Errorf("%w: the connection to Redis was lost: %w", eventlog.ErrUnknownOutcome, err)
}
