package redisstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/buffkit/buffkit/eventlog/redislog/redisconn"
	"github.com/buffkit/buffkit/sessionstore"
)

// explain adds to an error what to do about it. It is ErrClosed, or the context's error, if that is why a call has failed.
func (s *Store) explain(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case s.ctx.Err() != nil:
		return sessionstore.ErrClosed
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer from Redis within %v: look whether it is reachable and not blocked by a slow command (SLOWLOG GET): %w", s.opts.Timeout, err)
	}
	return redisconn.Explain(err, s.base+"*")
}
