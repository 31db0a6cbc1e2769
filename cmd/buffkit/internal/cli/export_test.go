package cli

import (
	"context"
	"net/http"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/spf13/cobra"
)

// WriteLedger is what adopt --write does when the files are written.
var WriteLedger = writeLedger

// Commands returns every command, each as the words that follow the program's name.
func Commands() (all [][]string) {
	var walk func(c *cobra.Command, words []string)
	walk = func(c *cobra.Command, words []string) {
		all = append(all, words)
		for _, below := range c.Commands() {
			walk(below, append(words[:len(words):len(words)], below.Name()))
		}
	}
	walk(new(app).root(), nil)
	return all
}

// RedisRetention is what a hub keeps in the Redis of a URL, with these flags.
func RedisRetention(url string, flags eventlog.Retention) (eventlog.Retention, error) {
	at, err := parseLog(url)
	if err != nil {
		return eventlog.Retention{}, err
	}
	return at.(*redisPlace).retention(flags), nil
}

// Poster posts events one by one, as publish does, over a network of the test's own.
func Poster(url string, network func(*http.Transport)) (post func(ctx context.Context, n int) error, end func()) {
	p := newPublisher(url, http.Header{}, defaultRetryFor, func(error) {})
	network(p.http.Transport.(*http.Transport))
	post = func(ctx context.Context, n int) error {
		_, err := p.post(ctx, &chunk{first: n, data: [][]byte{[]byte("a")}})
		return err
	}
	return post, p.http.CloseIdleConnections
}
