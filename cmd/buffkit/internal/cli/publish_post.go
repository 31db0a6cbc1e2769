package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	attemptTimeout = 30 * time.Second // of one request; the hub takes as long for a body
	maxAnswerBytes = 1 << 20          // the ids of a request have 20 KB
	silentAfter    = 5 * time.Second  // an HTTP/2 connection is asked whether it is there, and has so long to answer
)

// publisher posts chunks of events.
type publisher struct {
	http     *http.Client
	url      string
	header   http.Header
	run      string // distinguishes the idempotency keys of this run
	retryFor time.Duration
	onRetry  func(error) // told once for each chunk that isn't taken at once
}

func newPublisher(url string, header http.Header, retryFor time.Duration, onRetry func(error)) *publisher {
	header.Set("Content-Type", "application/x-ndjson")
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: silentAfter, PingTimeout: silentAfter} // or all tries were made on a dead connection
	return &publisher{
		http: &http.Client{
			Timeout:   attemptTimeout,
			Transport: transport,
			// A redirected POST becomes a GET, which here is a stream.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		url: url, header: header, run: rand.Text(), retryFor: retryFor, onRetry: onRetry,
	}
}

// post stores the events of a chunk, all or none of them; if one of them is to blame, those before it. It returns the ids of
// what was stored.
func (p *publisher) post(ctx context.Context, c *chunk) ([]string, error) {
	ids, err := p.retry(ctx, c)
	var refused *refusal
	if err == nil || !errors.As(err, &refused) || refused.Line < 1 || refused.Line > len(c.data) {
		return ids, err
	}
	err = fmt.Errorf("event %d: %w", c.first+refused.Line-1, err)
	good := &chunk{first: c.first, data: c.data[:refused.Line-1]}
	if len(good.data) == 0 {
		return nil, err
	}
	ids, rest := p.retry(ctx, good)
	return ids, errors.Join(err, rest)
}

// retry repeats a request until it is known what became of it. The time for that begins with the first answer, or the lack of one: a request
// into a network that has gone takes as long as it may.
func (p *publisher) retry(ctx context.Context, c *chunk) ([]string, error) {
	body, err := p.encode(c)
	if err != nil {
		return nil, err
	}
	ids, err := p.send(ctx, body, len(c.data))
	attempts, uncertain := 0, maybeStored(err)
	attempt := func() ([]string, error) {
		if attempts++; attempts > 1 {
			ids, err = p.send(ctx, body, len(c.data))
			uncertain = uncertain || maybeStored(err)
		}
		return ids, err
	}
	opts := []backoff.RetryOption{
		backoff.WithBackOff(&lastTry{backoff.NewExponentialBackOff(), time.Now().Add(p.retryFor)}),
		backoff.WithMaxElapsedTime(p.retryFor + time.Second), // for a Retry-After, and a little more than for the last try
		backoff.WithNotify(func(err error, _ time.Duration) {
			if attempts == 1 {
				p.onRetry(err)
			}
		}),
	}
	if p.retryFor == 0 {
		opts = append(opts, backoff.WithMaxTries(1))
	}
	if ids, err = backoff.Retry(ctx, attempt, opts...); err == nil {
		return ids, nil
	}
	if ctx.Err() != nil {
		err = errors.New("stopped")
	}
	if uncertain {
		err = fmt.Errorf("%w (events %d to %d may be stored too)", err, c.first, c.first+len(c.data)-1)
	}
	return nil, err
}

// lastTry makes one more try when the time is over, rather than end when the next wait would be longer than what is left.
type lastTry struct {
	*backoff.ExponentialBackOff
	deadline time.Time
}

func (l *lastTry) NextBackOff() time.Duration {
	left := time.Until(l.deadline)
	if left <= 0 {
		return backoff.Stop
	}
	return min(l.ExponentialBackOff.NextBackOff(), left)
}

// maybeStored tells whether a failed request may have done its work: it found somebody, who didn't say in the hub's name that
// nothing was stored. A proxy's 502 or 504 says only that it didn't hear the hub's answer.
func maybeStored(err error) bool {
	var refused *refusal
	if errors.As(err, &refused) {
		return refused.status >= 500 && slices.Contains([]string{"", "error", "unknown_outcome", "not_visible"}, refused.Code)
	}
	var network *net.OpError
	return err != nil && !(errors.As(err, &network) && network.Op == "dial")
}

type line struct {
	Data           string `json:"data"`
	IdempotencyKey string `json:"idempotency_key"`
}

func (p *publisher) encode(c *chunk) ([]byte, error) {
	var body bytes.Buffer
	for i, data := range c.data {
		if err := printJSON(&body, line{string(data), p.run + "/" + strconv.Itoa(c.first+i)}); err != nil {
			return nil, err
		}
	}
	return body.Bytes(), nil
}

// send makes one request. An error that isn't worth a repetition is a backoff.PermanentError.
func (p *publisher) send(ctx context.Context, body []byte, events int) ([]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	req.Header = p.header.Clone()
	resp, err := p.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", req.URL.Host, reason(err))
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: read the answer: %w", req.URL.Host, err)
	case resp.StatusCode != http.StatusOK:
		return nil, refusalOf(resp, text)
	}
	var answer struct {
		IDs []string `json:"ids"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || len(answer.IDs) != events {
		return nil, backoff.Permanent(fmt.Errorf("%s answers, but not as a hub does: check --url", req.URL.Host))
	}
	return answer.IDs, nil
}

// refusal is an answer that isn't 200.
type refusal struct {
	status  int
	Code    string `json:"code"`
	Message string `json:"message"`
	Line    int    `json:"line"`
}

func (r *refusal) Error() string {
	if r.Code == "" {
		return fmt.Sprintf("the server answers %d %s, and not as a hub does: check --url", r.status, http.StatusText(r.status))
	}
	message := strings.TrimPrefix(r.Message, "line "+strconv.Itoa(r.Line)+": ") // ours to say: it counts from this request
	if r.Code == "unauthorized" {
		message = "not signed in" // how to in HTTP helps nobody here
	}
	if r.status == http.StatusUnauthorized {
		message += "; give a token with --token or $BUFFKIT_TOKEN (buffkit token makes one)"
	}
	return fmt.Sprintf("the hub says %s: %s", r.Code, message)
}

func refusalOf(resp *http.Response, text []byte) error {
	r := &refusal{status: resp.StatusCode}
	if to, err := resp.Location(); err == nil && r.status/100 == 3 {
		to.RawQuery = ""
		r.Code, r.Message = "moved", "it is at "+to.Redacted()+": give that as --url"
		return backoff.Permanent(r)
	}
	_ = json.Unmarshal(text, r) // what isn't JSON has no code
	switch {
	case r.status == http.StatusRequestTimeout, r.status == http.StatusTooEarly, r.status == http.StatusTooManyRequests, r.status >= 500:
	default:
		return backoff.Permanent(r)
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		return later{r, backoff.RetryAfter(seconds)}
	}
	return r
}

// later is a refusal that says when to come back.
type later struct {
	*refusal
	after error // of package backoff
}

func (l later) Unwrap() []error { return []error{l.refusal, l.after} }
