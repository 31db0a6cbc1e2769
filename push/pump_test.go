package push_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

// granted grants the topics with a policy.
func granted(slow push.SlowPolicy, topics ...string) push.AuthorizeFunc {
	return func(*http.Request) (push.Grant, error) { return push.Grant{Topics: topics, Slow: slow}, nil }
}

func TestResumedStreamMissesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, push.Public("a", "b"), push.Options{})
		s := connect(t, b, "/?topic=a")
		publish(t, b, "a:1", "b:x")
		s.want("open:fresh", "1")
		s.close()
		publish(t, b, "b:y", "a:2", "a:3")
		s = connect(t, b, "/?topic=a", "Last-Event-ID", s.lastID())
		publish(t, b, "a:4")
		s.want("open:resumed:2", "2", "3", "4")
		// A topic more than before begins where the cursor is.
		connect(t, b, "/", "Last-Event-ID", s.lastID()).want("open:resumed:0")
	})
}

// A backlog far larger than one read or write comes whole, in order, in few writes.
func TestLargeBacklogComesInOrder(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		onlyPlain(t)
		const events, batch = 5000, 4 << 10
		b := newBroker(t, push.Public("a", "b"), push.Options{Limits: push.Limits{MaxBatchBytes: batch}})
		at, err := b.Cursor(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := []string{fmt.Sprint("open:resumed:", events)}
		bytes := 0
		for i := range events {
			data := fmt.Sprintf("%d %s", i, strings.Repeat("x", i%200))
			if i == 2500 {
				data = strings.Repeat("large ", batch) // more than fits a write
			}
			publish(t, b, []string{"a:", "b:"}[i%2]+data)
			want = append(want, data)
			bytes += len(data) + 40
		}
		s := connect(t, b, "/?cursor="+at.String())
		if got := s.next(); !slices.Equal(got, want) {
			t.Errorf("%d frames, want %d", len(got), len(want))
		}
		if most := 2 * bytes / batch; s.w.flushes > most {
			t.Errorf("%d writes, want at most %d", s.w.flushes, most)
		}
		large := slices.DeleteFunc(slices.Clone(s.w.writes), func(n int) bool { return n <= batch })
		if len(large) != 1 { // the large event, alone
			t.Errorf("writes of %d bytes, want at most %d", large, batch)
		}
	})
}

func TestHeartbeatCarriesTheCursorOfAQuietStream(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const beat = 15 * time.Second
		b := newBroker(t, push.Public("a", "b"), push.Options{Heartbeat: beat})
		s := connect(t, b, "/?topic=a")
		s.want("open:fresh")
		publish(t, b, "b:other")
		head, _ := b.Cursor(t.Context())
		pass(beat)
		s.want("ping")
		if s.lastID() != head.String() {
			t.Errorf("the ping carries %q, want %q", s.lastID(), head)
		}
		// No topic of its own had news, and much was dropped: still no gap.
		connect(t, b, "/?topic=a", "Last-Event-ID", s.lastID()).want("open:resumed:0")
	})
}

func TestHeartbeatsComeOnlyInSilence(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const beat = 10 * time.Second
		b := newBroker(t, push.Public("a"), push.Options{Heartbeat: beat})
		s := connect(t, b, "/")
		s.want("open:fresh")
		began := time.Now()
		for len(s.next()) == 0 {
			pass(100 * time.Millisecond)
		}
		if first := time.Since(began); first < beat/2 || first > beat+100*time.Millisecond {
			t.Errorf("the first came after %v", first)
		}
		pass(3 * beat)
		s.want("ping", "ping", "ping")
		for range 10 { // never silent for so long
			pass(beat - 100*time.Millisecond)
			publish(t, b, "a:1")
		}
		if got := s.next(); slices.Contains(got, "ping") {
			t.Errorf("came %q", got)
		}
		pass(beat)
		s.want("ping")
	})
}

// Streams that begin together, as after a restart, don't beat together.
func TestFirstHeartbeatsAreSpread(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const streams = 100
		b := newBroker(t, push.Public("a"), push.Options{Heartbeat: 10 * time.Second})
		var all []*stream
		for range streams {
			s := connect(t, b, "/")
			s.next()
			all = append(all, s)
		}
		most := 0
		for range 10 {
			pass(time.Second)
			beats := 0
			for _, s := range all {
				beats += len(s.next())
			}
			most = max(most, beats)
		}
		if most > streams/2 {
			t.Errorf("%d of %d beat in the same second", most, streams)
		}
	})
}

// A client that stops reading is cut, told to the hooks as slow, comes back and has missed nothing.
func TestStuckClientIsCutAndResumes(t *testing.T) {
	for name, policy := range map[string]push.SlowPolicy{"Cut": push.Cut, "Conflate": push.Conflate, "SkipToLatest": push.SkipToLatest} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				causes := make(chan error, 9)
				b := newBroker(t, granted(policy, "a"), push.Options{WriteTimeout: 5 * time.Second, Hooks: push.Hooks{
					Disconnected: func(_ push.Connection, cause error) { causes <- cause },
				}})
				stuck, healthy := connect(t, b, "/"), connect(t, b, "/")
				publish(t, b, "a:1")
				stuck.want("open:fresh", "1")
				healthy.want("open:fresh", "1")
				stuck.w.stall()
				publish(t, b, "a:2")
				for i := range 4 {
					publish(t, b, fmt.Sprint("a:while it is stuck ", i))
					healthy.next()
					pass(time.Second)
				}
				if stuck.ended() {
					t.Error("cut too early")
				}
				pass(time.Second)
				if !stuck.ended() {
					t.Fatal("not cut")
				}
				if cause := <-causes; !errors.Is(cause, push.ErrSlow) {
					t.Errorf("cause %v", cause)
				}
				stuck.want()
				if healthy.ended() {
					t.Error("the healthy one was cut")
				}
				again := connect(t, b, "/", "Last-Event-ID", stuck.lastID())
				want := []string{"open:resumed:5", "2", "while it is stuck 0", "while it is stuck 1", "while it is stuck 2", "while it is stuck 3"}
				again.want(want...)
			})
		})
	}
}

func TestEachWriteHasADeadlineThatIsCleared(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		onlyOn(t, onGoroutine, "a shard's writes don't wait")
		b := newBroker(t, push.Public("a"), push.Options{WriteTimeout: 7 * time.Second})
		s := connect(t, b, "/")
		publish(t, b, "a:1")
		pass(time.Minute) // with heartbeats
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		if len(s.w.armed) != 2*s.w.flushes || s.w.flushed != len(s.w.buf) {
			t.Errorf("%d deadlines, %d writes, %d of %d bytes flushed", len(s.w.armed), s.w.flushes, s.w.flushed, len(s.w.buf))
		}
		for i, d := range s.w.armed {
			if want := []time.Duration{7 * time.Second, 0}[i%2]; d != want {
				t.Errorf("deadline %d: %v, want %v", i, d, want)
			}
		}
	})
}

// slowly is a stream whose client takes a second for each write.
func slowly(t *testing.T, b *push.Broker, target string, headers ...string) *stream {
	s := connect(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch own := w.(type) {
		case *sink:
			w = sluggish{own}
		case hijackable:
			own.pace = time.Second
		}
		b.ServeHTTP(w, r)
	}), target, headers...)
	pass(5 * time.Second)
	return s
}

type sluggish struct{ *sink }

func (w sluggish) Write(p []byte) (int, error) {
	<-time.After(time.Second)
	return w.sink.Write(p)
}

func TestConflateSendsTheNewestOfAKey(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, granted(push.Conflate, "a", "b"), push.Options{})
		s := slowly(t, b, "/")
		s.want("open:fresh")
		publish(t, b, "a:k=0")
		synctest.Wait() // its write has begun
		publish(t, b, "a:k=1", "a:l=1", "a:unkeyed", "b:k=1", "a:k=2", "a:unkeyed", "a:l=2", "b:k=2", "a:k=3")
		pass(5 * time.Second)
		s.want("k=0", "unkeyed", "unkeyed", "l=2", "k=2", "k=3") // the k=2 of b
	})
}

func TestConflateOfALargeBacklog(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, granted(push.Conflate, "a"), push.Options{})
		at, _ := b.Cursor(t.Context())
		for i := range 3000 {
			publish(t, b, fmt.Sprintf("a:k%d=%d", i%10, i))
		}
		s := connect(t, b, "/?cursor="+at.String())
		got := s.next()
		if got[0] != "open:resumed:3000" || len(got) > 1+3*10 {
			t.Errorf("%d frames: %q", len(got), got[:min(len(got), 5)])
		}
		newest := map[string]string{}
		for _, text := range got[1:] {
			key, value, _ := strings.Cut(text, "=")
			newest[key] = value
		}
		for i := range 10 {
			if want := fmt.Sprint(2990 + i); newest[fmt.Sprint("k", i)] != want {
				t.Errorf("k%d ends with %s, want %s", i, newest[fmt.Sprint("k", i)], want)
			}
		}
		connect(t, b, "/", "Last-Event-ID", s.lastID()).want("open:resumed:0")
	})
}

func TestSkipToLatestMovesOnAndTells(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var told []push.Lost
		b := newBroker(t, granted(push.SkipToLatest, "a", "b"), push.Options{
			Limits: push.Limits{MaxBehind: 10}, Heartbeat: time.Hour,
			Snapshot: func(_ context.Context, lost push.Lost) ([]push.Event, error) {
				return []push.Event{{Name: "now", Data: []byte(strings.Join(lost.Topics(), " "))}}, nil
			},
			Hooks: push.Hooks{Gap: func(_ push.Connection, lost push.Lost) { told = append(told, lost) }},
		})
		at, _ := b.Cursor(t.Context())
		s := slowly(t, b, "/")
		publish(t, b, "a:0")
		synctest.Wait() // its write has begun
		for i := range 10 {
			publish(t, b, fmt.Sprintf("a:%d", i+1))
		}
		pass(20 * time.Second)
		s.want("open:fresh", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10") // ten behind is not too far
		publish(t, b, "a:11")
		synctest.Wait()
		for i := range 11 {
			publish(t, b, fmt.Sprintf("b:%d", i+12))
		}
		pass(20 * time.Second)
		s.want("11", "gap:a=slow,b=slow", "~now=a b", "place")
		publish(t, b, "a:23")
		pass(5 * time.Second)
		s.want("23")
		if len(told) != 1 || told[0].Gaps[0].Reason != push.ReasonSlow {
			t.Errorf("the hook was told %+v", told)
		}
		// The same at the start.
		late := connect(t, b, "/?cursor="+at.String())
		late.want("open:gap:0:a=slow,b=slow", "~now=a b", "place")
	})
}

func TestStreamEndsWithItsGrant(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		causes := make(chan error, 9)
		b := newBroker(t, func(*http.Request) (push.Grant, error) {
			return push.Grant{Topics: []string{"a"}, Expires: time.Now().Add(time.Minute)}, nil
		}, push.Options{Hooks: push.Hooks{Disconnected: func(_ push.Connection, cause error) { causes <- cause }}})
		s := connect(t, b, "/")
		pass(59 * time.Second)
		publish(t, b, "a:1")
		s.next()
		if s.ended() {
			t.Error("ended early")
		}
		pass(time.Second)
		s.want("bye:expired")
		if !s.ended() {
			t.Fatal("goes on")
		}
		if cause := <-causes; cause != push.ErrExpired {
			t.Errorf("cause %v", cause)
		}
		again := connect(t, b, "/", "Last-Event-ID", s.lastID())
		again.want("open:resumed:0")
	})
}

func TestGrantThatHasExpired(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, func(*http.Request) (push.Grant, error) {
			return push.Grant{Topics: []string{"a"}, Expires: time.Now().Add(-time.Minute)}, nil
		}, push.Options{})
		s := connect(t, b, "/")
		s.want("open:fresh", "bye:expired")
		if !s.ended() {
			t.Error("goes on")
		}
	})
}

// The context of a request ends its stream, whoever ended it, and nothing of the stream is left.
func TestRequestContextEndsTheStream(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		end  func(parent context.Context) (context.Context, context.CancelFunc)
		want []string
	}{
		{"the client left", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, time.Hour, nil)
		}, nil},
		{"a signal ended all requests", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			return ctx, func() { cancel(errors.New("terminated")) }
		}, nil},
		{"a middleware allows it a minute", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Minute)
		}, []string{"bye:error"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				if test.want == nil {
					onlyOn(t, onGoroutine, "the server ends the request of a parked stream at once")
				}
				var logged record
				var causes []error
				b := newBroker(t, push.Public("a"), push.Options{Heartbeat: time.Hour, Logger: logged.logger(), Hooks: push.Hooks{
					Disconnected: func(_ push.Connection, why error) { causes = append(causes, why) },
				}})
				leave := make(chan context.CancelFunc, 1)
				s := connect(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					ctx, cancel := test.end(r.Context())
					leave <- cancel
					b.ServeHTTP(w, r.WithContext(ctx))
				}), "/")
				s.want("open:fresh")
				cancel := <-leave
				defer cancel()
				if test.want == nil {
					cancel()
				} else {
					pass(time.Minute)
				}
				s.want(test.want...)
				if !s.ended() || len(causes) != 1 || (causes[0] == nil) != (test.want == nil) {
					t.Errorf("ended %v, causes %v", s.ended(), causes)
				}
				if isLogged := strings.Contains(logged.String(), "level=ERROR"); isLogged != (test.want != nil) {
					t.Errorf("logged %q", logged.String())
				}
				if b.Followers("a")+b.Followers("~all") > 0 || b.Stats().Connections > 0 {
					t.Error("the stream is still in the index")
				}
			})
		})
	}
}

// Streams come and go while all topics have news: each that stays gets all.
func TestRapidConnectAndDisconnect(t *testing.T) {
	t.Parallel()
	const events = 2000
	b := newBroker(t, push.Public("a", "b"), push.Options{})
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				comeAndGo(b)
			}
		})
	}
	var last string
	got := make(chan string, events)
	w := &lines{nowhere{header: http.Header{}}, got}
	all.Go(func() { b.ServeHTTP(w, newRequest(ctx, "/?topic=a")) })
	<-got // the stream is open
	for i := range events {
		last = fmt.Sprint(i)
		publish(t, b, "a:"+last, "b:x")
	}
	for i := range events {
		if text := <-got; text != fmt.Sprint(i) {
			t.Fatalf("event %d is %q", i, text)
		}
	}
	stop()
	all.Wait()
	if b.Followers("a")+b.Followers("b")+b.Followers("~all") > 0 {
		t.Error("streams are left in the index")
	}
}

// lines tells the data of each event.
type lines struct {
	nowhere
	got chan<- string
}

func (w *lines) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			w.got <- strings.TrimSuffix(data, "\n")
		}
	}
	return len(p), nil
}

// A log that fails ends a stream with a word to the client, and an error in our log, not in theirs.
func TestLogThatFailsEndsTheStream(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var logged record
		log := &failing{Log: newLog(t, none)}
		b := newBroker(t, push.Public("a"), push.Options{Log: log, Logger: logged.logger()})
		s := connect(t, b, "/")
		publish(t, b, "a:1")
		s.want("open:fresh", "1")
		log.fail(errors.New("password=hunter2"))
		publish(t, b, "a:2")
		s.want("bye:error")
		if !s.ended() || strings.Contains(s.w.text(), "hunter2") || !strings.Contains(logged.String(), "hunter2") {
			t.Errorf("ended %v, logged %q", s.ended(), logged.String())
		}
		if got := connect(t, b, "/").next(); !slices.Equal(got, []string{"open:fresh", "bye:error"}) {
			t.Errorf("a new stream: %q", got)
		}
		log.fail(nil)
		connect(t, b, "/", "Last-Event-ID", s.lastID()).want("open:resumed:1", "2")
	})
}

// failing is a log whose reads fail on command.
type failing struct {
	eventlog.Log
	mu  sync.Mutex // guards err
	err error
}

func (f *failing) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *failing) Read(ctx context.Context, topics []string, after eventlog.Cursor, most int) (eventlog.Batch, error) {
	f.mu.Lock()
	err := f.err
	f.mu.Unlock()
	if err != nil {
		return eventlog.Batch{}, err
	}
	return f.Log.Read(ctx, topics, after, most)
}
