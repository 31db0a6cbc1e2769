package client_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/client"
)

// disconnects records what OnDisconnect is told, and when the next request came.
type disconnects struct {
	errs  []error
	waits []time.Duration
}

func (d *disconnects) record(err error, wait time.Duration) {
	d.errs = append(d.errs, err)
	d.waits = append(d.waits, wait)
}

func TestWaitHonoursTheServer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		script   script
		from, to time.Duration
	}{
		{"retry field", sends("retry: 4000\ndata: a\n\n"), 0, 4 * time.Second},
		{"bye, to the point", sends("retry: 2817\nevent: buffkit.bye\ndata: {\"code\":\"draining\",\"retry\":2817}\n\n"),
			2817 * time.Millisecond, 2817 * time.Millisecond},
		{"bye without a time", sends("event: buffkit.bye\ndata: {\"code\":\"slow\"}\n\n"), 0, client.DefaultMinRetry},
		{"bye after an event", sends("data: a\n\nevent: buffkit.bye\ndata: {\"retry\":9}\n\n"), 9 * time.Millisecond, 9 * time.Millisecond},
		{"429 with Retry-After", refuses(429, "", "Retry-After", "7"), 7 * time.Second, 7*time.Second + client.DefaultMinRetry},
		{"503 with Retry-After", refuses(503, "", "Retry-After", "120"), 120 * time.Second, 120*time.Second + client.DefaultMinRetry},
		{"503 with its own time", refuses(503, `{"code":"draining","retry":3300}`, "Retry-After", "3"), 3300 * time.Millisecond, 3300 * time.Millisecond},
		{"503 with a date", refuses(503, "", "Retry-After", "Sat, 01 Jan 2000 00:01:00 GMT"), time.Minute, time.Minute + client.DefaultMinRetry},
		{"503 with a date gone by", refuses(503, "", "Retry-After", "Fri, 31 Dec 1999 00:01:00 GMT"), 0, client.DefaultMinRetry},
		{"503 with nonsense", refuses(503, "", "Retry-After", "soon"), 0, client.DefaultMinRetry},
		{"500", refuses(500, ""), 0, client.DefaultMinRetry},
		{"never over a day", refuses(503, `{"retry":9223372036854775807}`), 24 * time.Hour, 24 * time.Hour},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var d disconnects
				start := time.Now()
				s := serve(t, test.script)
				if _, err := follow(t.Context(), s, client.Options{OnDisconnect: d.record}); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took < test.from || took > test.to {
					t.Errorf("waited %v, want %v to %v", took, test.from, test.to)
				}
				if len(d.waits) != 1 || d.waits[0] != time.Since(start) {
					t.Errorf("told %v", d.waits)
				}
			})
		})
	}
}

func TestDisconnectIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d disconnects
		s := serve(t,
			sends("event: buffkit.bye\ndata: {\"code\":\"draining\",\"message\":\"the server is restarting\",\"retry\":5}\n\n"),
			sends(": ok\n\n"),
			refuses(429, `{"code":"limit","message":"too many"}`))
		if _, err := follow(t.Context(), s, client.Options{OnDisconnect: d.record}); err != nil {
			t.Fatal(err)
		}
		if len(d.errs) != 3 {
			t.Fatalf("told %v", d.errs)
		}
		var bye *client.ByeError
		if !errors.As(d.errs[0], &bye) || *bye != (client.ByeError{"draining", "the server is restarting"}) {
			t.Errorf("told %v, want the bye", d.errs[0])
		}
		if !errors.Is(d.errs[1], client.ErrEnded) {
			t.Errorf("told %v, want ErrEnded", d.errs[1])
		}
		var status *client.StatusError
		if !errors.As(d.errs[2], &status) || *status != (client.StatusError{429, "limit", "too many"}) {
			t.Errorf("told %v, want the status", d.errs[2])
		}
	})
}

func TestBackoffGrowsUntilSomethingCame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const base, limit = 100 * time.Millisecond, time.Second
		var d disconnects
		var scripts []script
		fails := func(n int) { scripts = append(scripts, slices.Repeat([]script{sends(opened)}, n)...) }
		fails(20) // an open stream alone is no success
		scripts = append(scripts, sends("data: a\n\n"))
		fails(2)
		scripts = append(scripts, func(w *stream, r *http.Request) { w.send(": ok\n\n"); lasts(limit, r) }) // it lived
		fails(2)
		scripts = append(scripts, sends("event: buffkit.ping\nid: k.1\ndata: \n\n"))
		s := serve(t, scripts...)
		if _, err := follow(t.Context(), s, client.Options{OnDisconnect: d.record, MinRetry: base, MaxRetry: limit}); err != nil {
			t.Fatal(err)
		}
		failures, longest := 0, time.Duration(0)
		for i, wait := range d.waits {
			if i == 20 || i == 23 || i == 26 {
				failures = 0
			}
			if ceiling := min(base<<failures, limit); wait < 0 || wait > ceiling {
				t.Errorf("wait %d is %v, at most %v", i, wait, ceiling)
			}
			failures++
			longest = max(longest, wait)
		}
		if len(d.waits) != 27 || longest <= base {
			t.Errorf("%d waits, the longest %v", len(d.waits), longest)
		}
	})
}

// Servers that say goodbye at once, each time, don't make a busy loop.
func TestShortByesAreBackedOffFrom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := serve(t, slices.Repeat([]script{sends("event: buffkit.bye\ndata: {\"retry\":1}\n\n")}, 30)...)
		if _, err := follow(t.Context(), s, client.Options{}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < time.Minute {
			t.Errorf("30 attempts within %v", took)
		}
	})
}

func TestSilenceIsNoticed(t *testing.T) {
	t.Parallel()
	silent := func(w *stream, r *http.Request) {
		w.send("event: buffkit.open\ndata: {\"heartbeat\":10000}\n\n")
		lasts(15*time.Second, r)
		w.send(": anything counts\n\n")
		<-r.Context().Done()
	}
	foreign := func(w *stream, r *http.Request) {
		w.send(": ok\n\n")
		lasts(time.Hour, r)
	}
	tests := []struct {
		name   string
		script script
		opts   client.Options
		after  time.Duration
		want   error
	}{
		{"after two heartbeats", silent, client.Options{}, 35 * time.Second, client.ErrSilent},
		{"after the caller's time", silent, client.Options{Watchdog: 5 * time.Second}, 5 * time.Second, client.ErrSilent},
		{"of any server", foreign, client.Options{Watchdog: time.Minute}, time.Minute, client.ErrSilent},
		{"before the first word of buffkit", func(w *stream, r *http.Request) {
			w.Header().Set("Buffkit-Session", "token")
			w.send(": ok\n\n")
			lasts(time.Hour, r)
		}, client.Options{}, client.DefaultOpenTimeout, client.ErrSilent},
		{"but not guessed of a server that promised nothing", foreign, client.Options{}, time.Hour, client.ErrEnded},
		{"but not if switched off", func(w *stream, r *http.Request) {
			w.send("event: buffkit.open\ndata: {\"heartbeat\":10000}\n\n")
			lasts(time.Hour, r)
		}, client.Options{Watchdog: -1}, time.Hour, client.ErrEnded},
		{"before the answer", func(_ *stream, r *http.Request) { <-r.Context().Done() }, client.Options{}, client.DefaultOpenTimeout, client.ErrSilent},
		{"before the answer, if it may take", func(_ *stream, r *http.Request) { lasts(time.Hour, r) },
			client.Options{OpenTimeout: -1}, time.Hour, client.ErrNotStream},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var told error
				var after time.Duration
				start := time.Now()
				test.opts.OnDisconnect = func(err error, _ time.Duration) { told, after = err, time.Since(start) }
				if _, err := follow(t.Context(), serve(t, test.script), test.opts); err != nil {
					told, after = err, time.Since(start)
				}
				if !errors.Is(told, test.want) || after != test.after {
					t.Errorf("told %v after %v, want %v after %v", told, after, test.want, test.after)
				}
			})
		})
	}
}

// A caller that takes its time isn't a silent server.
func TestSlowCallerKeepsItsConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, func(w *stream, _ *http.Request) {
			w.send("event: buffkit.open\ndata: {\"heartbeat\":1000}\n\n")
			for i := range 5 {
				w.send(fmt.Sprintf("data: %d\n\n", i))
			}
		})
		events := 0
		for _, err := range client.Events(t.Context(), url, &client.Options{HTTP: s.http}) {
			if err != nil {
				t.Fatal(err)
			}
			events++
			time.Sleep(time.Hour)
		}
		if n := len(s.headers("Accept")); events != 5 || n != 2 {
			t.Errorf("%d events over %d requests, want 5 over 2", events, n)
		}
	})
}
