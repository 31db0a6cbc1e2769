package redisconn

import (
	"context"
	"crypto/sha1"
	"encoding/hex"

	"github.com/redis/rueidis"
)

// Script is one that the server keeps under its hash until it restarts.
type Script struct{ text, hash string }

// NewScript returns a script of several parts, one behind the other.
func NewScript(parts ...string) Script {
	var text string
	for _, part := range parts {
		text += part
	}
	sum := sha1.Sum([]byte(text)) // Redis's own choice
	return Script{text, hex.EncodeToString(sum[:])}
}

// Run runs it on any kind of connection, and sends its text if the server doesn't know it: then it hasn't run.
func (s Script) Run(ctx context.Context, c rueidis.CoreClient, keys, args []string) rueidis.RedisResult {
	n := int64(len(keys))
	result := c.Do(ctx, c.B().Evalsha().Sha1(s.hash).Numkeys(n).Key(keys...).Arg(args...).Build())
	if Code(result.Error()) != "NOSCRIPT" {
		return result
	}
	return c.Do(ctx, c.B().Eval().Script(s.text).Numkeys(n).Key(keys...).Arg(args...).Build())
}
