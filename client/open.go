package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	sessionHeader = "Buffkit-Session"
	clientHeader  = "Buffkit-Client"

	maxRefusalBytes = 64 << 10 // a refusal is one line of JSON; a proxy's error page is a few KB
	maxMessageBytes = 200      // of a plain text refusal
	maxRedirects    = 10       // as net/http
)

// open makes the request. The response is nil if it isn't a stream.
func (f *follower) open(ctx context.Context) (*http.Response, ending) {
	resp, err := f.request(ctx)
	if err != nil {
		return nil, ending{err: err, final: errors.Is(err, ErrBadRequest)}
	}
	if resp.StatusCode == http.StatusNoContent {
		resp.Body.Close()
		return nil, ending{}
	}
	if resp.StatusCode != http.StatusOK {
		refused, told, err := refusal(resp)
		if err != nil {
			return nil, ending{err: err, told: f.spread(0, resp)}
		}
		if isTokenCode(refused.Code) && f.token != "" {
			f.token = ""
			return f.open(ctx) // once: without a token there is none to be refused
		}
		return nil, ending{err: refused, final: !isPassing(refused.Status), told: f.spread(told, resp)}
	}
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "text/event-stream") {
		resp.Body.Close()
		err := fmt.Errorf("%w: %s answers with Content-Type %q instead of text/event-stream: check the URL, and what answers for it",
			ErrNotStream, resp.Request.URL.Redacted(), resp.Header.Get("Content-Type"))
		return nil, ending{err: err, final: true}
	}
	if token := resp.Header.Get(sessionHeader); token != "" {
		f.token = token
	}
	return resp, ending{}
}

func (f *follower) request(ctx context.Context) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	req.Close = true // a connection of its own: HTTP/2 would ask again on the one that has gone silent, until the kernel gives that up
	req.Header = f.opts.Header.Clone()
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Cache-Control", "no-cache")
	req.Header.Set(clientHeader, clientName)
	if f.place.cursor != "" {
		req.Header.Set("Last-Event-ID", f.place.cursor)
	}
	if f.token != "" {
		req.Header.Set(sessionHeader, f.token)
	}
	for name, values := range req.Header {
		for _, value := range values {
			if strings.ContainsFunc(value, isControl) {
				return nil, fmt.Errorf("%w: the header %s can't carry %q, which has a control character", ErrBadRequest, name, value)
			}
		}
	}
	resp, err := f.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return resp, nil
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7F }

// refusal reads why the server answered with another status than 200, and how long it asks us to wait. It closes the body. The error
// is the network's: without the code it can't be said whether the refusal is final. The one of a token, say, isn't.
func refusal(resp *http.Response) (*StatusError, time.Duration, error) {
	defer resp.Body.Close()
	refused := &StatusError{Status: resp.StatusCode}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusalBytes))
	if err != nil {
		return nil, 0, fmt.Errorf("%v, and was cut off before it said why: %w", refused, err)
	}
	said, ok := parseBye(text)
	if ok {
		refused.Code, refused.Message = said.Code, said.Message
	} else if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		refused.Message = strings.TrimSpace(strings.ToValidUTF8(string(text[:min(len(text), maxMessageBytes)]), ""))
	}
	return refused, milliseconds(said.Retry), nil
}

// spread returns how long the server asks us to wait. Its own word for this client comes first; a Retry-After is the same for all
// clients and in whole seconds, so they are spread behind it.
func (f *follower) spread(told time.Duration, resp *http.Response) time.Duration {
	after := retryAfter(resp.Header.Get("Retry-After"))
	if after == 0 || told >= after {
		return told
	}
	return after + rand.N(f.backoff.base+1)
}

// retryAfter reads seconds or a date, 0 if it is neither.
func retryAfter(value string) time.Duration {
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		return min(time.Duration(max(seconds, 0))*time.Second, maxTold)
	}
	if date, err := http.ParseTime(value); err == nil {
		return min(max(time.Until(date), 0), maxTold)
	}
	return 0
}

// isPassing tells whether to come back after a status, docs/wire.md section 6 and RFC 9110.
func isPassing(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status >= 500
}

func isTokenCode(code string) bool { return strings.HasPrefix(code, "token_") }

// httpClient returns a client that doesn't take the session token along to another host, and has a connection of its own there, too.
func httpClient(given *http.Client) *http.Client {
	if given == nil {
		given = &http.Client{}
	}
	own := *given
	own.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		req.Close = true // as in request; net/http doesn't copy it
		if first := via[0].URL; req.URL.Host != first.Host || req.URL.Scheme != first.Scheme {
			req.Header.Del(sessionHeader)
		}
		if given.CheckRedirect != nil {
			return given.CheckRedirect(req, via)
		}
		if len(via) >= maxRedirects {
			return fmt.Errorf("stopped after %d redirects", maxRedirects)
		}
		return nil
	}
	return &own
}
