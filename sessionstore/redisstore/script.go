package redisstore

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"time"

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

	connectScript = newScript(connectText)
	leaveScript   = newScript(leaveText)
	holdScript    = newScript(holdText)
	heldScript    = newScript(heldText)
	beatScript    = newScript(beatText)
	readScript    = newScript(readText)
	revokeScript  = newScript(revokeText)
	dueScript     = newScript(dueText)
	endScript     = newScript(endText)
)

// script is one that the server keeps under its hash until it restarts.
type script struct{ text, hash string }

func newScript(text string) script {
	sum := sha1.Sum([]byte(lib + text)) // Redis's own choice
	return script{lib + text, hex.EncodeToString(sum[:])}
}

// run runs it, and sends its text if the server doesn't know it: then it hasn't run.
func (s script) run(ctx context.Context, c rueidis.Client, keys, args []string) rueidis.RedisResult {
	n := int64(len(keys))
	result := c.Do(ctx, c.B().Evalsha().Sha1(s.hash).Numkeys(n).Key(keys...).Arg(args...).Build())
	if code(result.Error()) != "NOSCRIPT" {
		return result
	}
	return c.Do(ctx, c.B().Eval().Script(s.text).Numkeys(n).Key(keys...).Arg(args...).Build())
}

// How long to wait before a script that the server has refused is sent again: a failover takes seconds, a slot moves in milliseconds.
const (
	firstWait = 5 * time.Millisecond
	lastWait  = 250 * time.Millisecond
)

// exec runs a script, and returns the elements of its answer.
func (s *Store) exec(ctx context.Context, script script, keys, args []string) ([]rueidis.RedisMessage, error) {
	return s.retry(ctx, func(ctx context.Context) rueidis.RedisResult { return script.run(ctx, s.client, keys, args) })
}

// retry sends a command, again if the server has refused it, and waits no longer than the timeout.
func (s *Store) retry(ctx context.Context, send func(context.Context) rueidis.RedisResult) ([]rueidis.RedisMessage, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	limited, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		reply, err := send(limited).ToArray()
		switch {
		case err == nil:
			return reply, nil
		case !refused(err) || !s.pause(limited, wait):
			return nil, s.explain(ctx, err)
		}
	}
}

// pause waits, and tells whether there is time left.
func (s *Store) pause(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
	return false
}
