package redislog

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"

	"github.com/redis/rueidis"
)

var (
	//go:embed scripts/lib.lua
	lib string
	//go:embed scripts/append.lua
	appendText string
	//go:embed scripts/peek.lua
	peekText string
	//go:embed scripts/history.lua
	historyText string
	//go:embed scripts/supersede.lua
	supersedeText string
	//go:embed scripts/sweep.lua
	sweepText string

	appendScript    = newScript(appendText)
	peekScript      = newScript(peekText)
	historyScript   = newScript(historyText)
	supersedeScript = newScript(supersedeText)
	sweepScript     = newScript(sweepText)
)

// script is one that the server keeps under its hash until it restarts.
type script struct{ text, hash string }

func newScript(text string) script {
	sum := sha1.Sum([]byte(lib + text)) // Redis's own choice
	return script{lib + text, hex.EncodeToString(sum[:])}
}

// run runs it on any kind of connection, and sends its text if the server doesn't know it: then it hasn't run.
func (s script) run(ctx context.Context, c rueidis.CoreClient, keys, args []string) rueidis.RedisResult {
	n := int64(len(keys))
	result := c.Do(ctx, c.B().Evalsha().Sha1(s.hash).Numkeys(n).Key(keys...).Arg(args...).Build())
	if code(result.Error()) != "NOSCRIPT" {
		return result
	}
	return c.Do(ctx, c.B().Eval().Script(s.text).Numkeys(n).Key(keys...).Arg(args...).Build())
}
