package push_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/push"
)

func TestDrainComesInWaves(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const streams, window, retry = 200, 10 * time.Second, 2 * time.Second
		var mu sync.Mutex
		began, waves := time.Now(), map[time.Duration]int{}
		b := newBroker(t, push.Public("a"), push.Options{DrainWindow: window, Retry: retry, Heartbeat: time.Hour, Hooks: push.Hooks{
			Disconnected: func(_ push.Connection, cause error) {
				mu.Lock()
				defer mu.Unlock()
				waves[time.Since(began)]++
				if cause != push.ErrDraining {
					t.Errorf("cause %v", cause)
				}
			},
		}})
		var all []*stream
		for range streams {
			s := connect(t, b, "/")
			s.next()
			all = append(all, s)
		}
		drained := make(chan error, 1)
		go func() { drained <- b.Drain(t.Context()) }()
		pass(window / 2)

		// Meanwhile: nobody is let in, the others go on, and publishing does.
		if got := connect(t, b, "/", "Buffkit-Client", "test/1").refusal(); got != "503 draining" {
			t.Errorf("a new stream: %s", got)
		}
		publish(t, b, "a:still")
		got, left := 0, 0
		for _, s := range all {
			if s.ended() {
				left++
			} else if texts := s.next(); len(texts) == 1 && texts[0] == "still" {
				got++
			}
		}
		if left < streams/3 || left > streams*2/3 || got != streams-left {
			t.Errorf("after half of the time %d have left and %d of the others got an event", left, got)
		}
		if err := <-drained; err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d > window {
			t.Errorf("it took %v", d)
		}
		for at, n := range waves {
			if n > streams/20 {
				t.Errorf("%d goodbyes at once, after %v", n, at)
			}
		}
		retries, first, last := map[int64]bool{}, time.Hour, time.Duration(0)
		for _, s := range all {
			frames, err := parseFrames(s.w.text())
			if err != nil {
				t.Fatal(err)
			}
			bye := frames[len(frames)-1].control()
			d := time.Duration(bye.Retry) * time.Millisecond
			if bye.Code != "draining" || d < retry/2 || d > retry/2+window {
				t.Errorf("told %+v", bye)
			}
			retries[bye.Retry], first, last = true, min(first, d), max(last, d)
		}
		if len(retries) < streams*9/10 || last-first < window/2 {
			t.Errorf("%d clients were given %d different times to come back, from %v to %v", streams, len(retries), first, last)
		}
		if err := b.Drain(t.Context()); err != nil {
			t.Errorf("again: %v", err)
		}
	})
}

// Who has no time left cuts the rest, and isn't held up by the app's code either.
func TestDrainEndsWithItsContext(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		hang := make(chan struct{})
		b := newBroker(t, func(r *http.Request) (push.Grant, error) {
			if r.URL.Path == "/authorize" {
				<-hang
			}
			return asUser(r)
		}, push.Options{
			WriteTimeout: time.Hour, DrainWindow: time.Second, Log: keepOf(t, map[string]int{"a": 1}),
			Snapshot: func(context.Context, push.Lost) ([]push.Event, error) { <-hang; return nil, nil },
		})
		at, _ := b.Cursor(t.Context())
		publish(t, b, "a:1", "a:2")
		healthy, stuck := connect(t, b, "/"), connect(t, b, "/")
		stuck.w.stall()
		publish(t, b, "a:3")
		rendering := connect(t, b, "/", "Last-Event-ID", at.String())
		authorizing := connect(t, b, "/authorize")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		if err := b.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Drain: %v", err)
		}
		if d := time.Since(began); d > 6*time.Second {
			t.Errorf("it took %v", d)
		}
		if !healthy.ended() || !stuck.ended() {
			t.Errorf("healthy ended %v, stuck ended %v", healthy.ended(), stuck.ended())
		}
		close(hang)
		if got := authorizing.refusal(); got != "200 draining" {
			t.Errorf("who was being authorized: %s", got)
		}
		if !rendering.ended() {
			t.Error("the snapshot's stream goes on")
		}
	})
}

func TestDrainWithoutStreamsReturnsAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, push.Public("a"), push.Options{})
		began := time.Now()
		if err := b.Drain(t.Context()); err != nil || time.Since(began) > 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		b = newBroker(t, push.Public("a"), push.Options{})
		s := connect(t, b, "/")
		go func() { s.leave() }()
		if err := b.Drain(t.Context()); err != nil || time.Since(began) > 0 {
			t.Errorf("after the last has left: %v after %v", err, time.Since(began))
		}
	})
}

// Close says goodbye to all, waits a second for those that don't listen, and is done when nothing runs any more.
func TestCloseEndsEverything(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		hang := make(chan struct{})
		b := newBroker(t, func(r *http.Request) (push.Grant, error) {
			if r.URL.Path == "/authorize" {
				<-hang
			}
			return asUser(r)
		}, push.Options{WriteTimeout: time.Hour})
		healthy, stuck, authorizing := connect(t, b, "/"), connect(t, b, "/"), connect(t, b, "/authorize")
		healthy.want("open:fresh")
		stuck.w.stall()
		publish(t, b, "a:1")
		synctest.Wait()
		began := time.Now()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d > time.Second+10*time.Millisecond {
			t.Errorf("it took %v", d)
		}
		healthy.want("1", "bye:closed")
		if !healthy.ended() || !stuck.ended() {
			t.Errorf("healthy ended %v, stuck ended %v", healthy.ended(), stuck.ended())
		}
		close(hang)
		if got := authorizing.refusal(); got != "200 closed" {
			t.Errorf("who was being authorized: %s", got)
		}
	})
}

// Drain makes its list of streams when one is let in but not yet in the index.
func TestDrainMissesNoStreamThatIsJustBeginning(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		goOn := make(chan struct{})
		log := &meddling{Log: newLog(t, none), meddle: func() { <-goOn }}
		b := newBroker(t, push.Public("a"), push.Options{Log: log})
		s := connect(t, b, "/")
		drained := make(chan error, 1)
		go func() { drained <- b.Drain(context.Background()) }()
		synctest.Wait()
		close(goOn)
		if err := <-drained; err != nil {
			t.Error(err)
		}
		if got := s.refusal(); got != "200 draining" {
			t.Errorf("got %s", got)
		}
	})
}

// A stream that begins while Close or Drain does is either ended or refused, never forgotten.
func TestStreamsThatRaceWithTheEnd(t *testing.T) {
	t.Parallel()
	ends := map[string]func(*push.Broker) error{
		"Close": func(b *push.Broker) error { return b.Close() },
		"Drain": func(b *push.Broker) error { return b.Drain(context.Background()) },
	}
	paths := map[string]func(*push.Broker){
		onGoroutine: func(b *push.Broker) {
			b.ServeHTTP(nowhere{header: http.Header{}}, newRequest(context.Background(), "/"))
		},
		onShard: func(b *push.Broker) {
			w := newSink()
			b.ServeHTTP(hijackable{w}, newRequest(context.WithValue(context.Background(), http.LocalAddrContextKey, &net.TCPAddr{}), "/"))
			w.awaitClose()
		},
	}
	for i := range 2 * len(ends) {
		name, path := []string{"Close", "Drain"}[i%2], []string{onGoroutine, onShard}[i/2]
		end, serve := ends[name], paths[path]
		t.Run(name+"/"+path, func(t *testing.T) {
			t.Parallel()
			for range 50 {
				b := newBroker(t, push.Public("a"), push.Options{DrainWindow: time.Millisecond})
				var all sync.WaitGroup
				for range 8 {
					all.Go(func() { serve(b) })
				}
				if err := end(b); err != nil {
					t.Error(err)
				}
				all.Wait() // for ever, if one was forgotten
			}
		})
	}
}

// A ResponseWriter belongs to its handler: afterwards it, or its connection, serves another request, which a deadline in the
// past would break (HTTP/1.1), or is nil inside, which would end the process (HTTP/2).
func TestEndedStreamIsNotAborted(t *testing.T) {
	ends := map[string]func(*push.Broker){
		"by Close": func(b *push.Broker) { b.Close() },
		"by Drain": func(b *push.Broker) {
			ctx, cancel := context.WithTimeout(context.Background(), push.DefaultDrainWindow+time.Second)
			defer cancel()
			if err := b.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Drain: %v", err)
			}
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				onlyOn(t, onGoroutine, "a parked stream has no ResponseWriter")
				b := newBroker(t, push.Public("a"), push.Options{WriteTimeout: time.Hour})
				healthy, stuck := connect(t, b, "/"), connect(t, b, "/")
				stuck.w.stall()
				publish(t, b, "a:1")
				synctest.Wait()
				go func() {
					<-healthy.done
					healthy.w.mu.Lock()
					defer healthy.w.mu.Unlock()
					healthy.w.armed = nil
				}()
				end(b)
				if !healthy.ended() || !stuck.ended() {
					t.Errorf("healthy ended: %v, stuck ended: %v", healthy.ended(), stuck.ended())
				}
				healthy.w.mu.Lock()
				defer healthy.w.mu.Unlock()
				if len(healthy.w.armed) > 0 {
					t.Errorf("deadlines set after the handler returned: %v", healthy.w.armed)
				}
			})
		})
	}
}
