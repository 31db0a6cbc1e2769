package redisstore

import (
	"context"
	_ "embed"

	"github.com/buffkit/buffkit/eventlog/redislog/redisconn"
	"github.com/redis/rueidis"
)

var (
	//go:embed scripts/lib.lua
	lib string
	//go:embed scripts/connect.lua
	connectText string
	//go:embed scripts/leave.lua
	leaveText string
	//go:embed scripts/hold.lua
	holdText string
	//go:embed scripts/held.lua
	heldText string
	//go:embed scripts/beat.lua
	beatText string
	//go:embed scripts/read.lua
	readText string
	//go:embed scripts/revoke.lua
	revokeText string
	//go:embed scripts/due.lua
	dueText string
	//go:embed scripts/end.lua
	endText string

	connectScript = redisconn.NewScript(lib, connectText)
	leaveScript   = redisconn.NewScript(lib, leaveText)
	holdScript    = redisconn.NewScript(lib, holdText)
	heldScript    = redisconn.NewScript(lib, heldText)
	beatScript    = redisconn.NewScript(lib, beatText)
	readScript    = redisconn.NewScript(lib, readText)
	revokeScript  = redisconn.NewScript(lib, revokeText)
	dueScript     = redisconn.NewScript(lib, dueText)
	endScript     = redisconn.NewScript(lib, endText)
)

// exec runs a script, and returns the elements of its answer.
func (s *Store) exec(ctx context.Context, script redisconn.Script, keys, args []string) ([]rueidis.RedisMessage, error) {
	return s.retry(ctx, func(ctx context.Context) rueidis.RedisResult { return script.Run(ctx, s.client, keys, args) })
}

// retry sends a command, again if the server has refused it, and waits no longer than the timeout.
func (s *Store) retry(ctx context.Context, send func(context.Context) rueidis.RedisResult) ([]rueidis.RedisMessage, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	limited, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	reply, err := redisconn.Retry(limited, s.ctx, func() ([]rueidis.RedisMessage, error) { return send(limited).ToArray() })
	if err != nil {
		return nil, s.explain(ctx, err)
	}
	return reply, nil
}
