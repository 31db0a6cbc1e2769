package push_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

// Hundreds of streams, of which some get events of their own in between: each event comes once, and ids never go back.
func TestParkedStreamsGetEachEventOnceInOrder(t *testing.T) {
	wires(t, func(t *testing.T, secure bool) {
		const events = 100
		streams := 100
		if secure {
			streams = 200
		}
		b := newBroker(t, push.Public("a"), push.Options{})
		s := newSite(t, b, secure, nil)
		all, sessions := make([]*reader, streams), make([]string, streams)
		for i := range all {
			all[i] = s.open()
			open := all[i].event()
			sessions[i] = frame{data: string(open.Data)}.control().Session
		}
		awaitParked(t, b, streams)

		want := make([][]string, streams)
		for n := range events {
			text := fmt.Sprint("all ", n)
			publish(t, b, "a:"+text)
			for i := range all {
				want[i] = append(want[i], text)
				if (i+n)%20 != 0 {
					continue
				}
				own := fmt.Sprint("own ", n)
				if _, err := b.SendSession(t.Context(), sessions[i], push.Event{Data: []byte(own)}); err != nil {
					t.Fatal(err)
				}
				want[i] = append(want[i], own)
			}
		}
		for i, r := range all {
			var last eventlog.Cursor
			for _, text := range want[i] {
				e := r.event()
				at, err := eventlog.ParseCursor(e.ID)
				if string(e.Data) != text || err != nil || !last.IsZero() && !at.Beyond(last) {
					t.Fatalf("stream %d: %q at %q after %v, want %q", i, e.Data, e.ID, last, text)
				}
				last = at
			}
		}
		if n := b.Stats().Parked; n != streams {
			t.Errorf("%d streams are parked", n)
		}
	})
}

// What a socket takes in parts arrives whole, and in order with what came later.
func TestEventsThatAreLargerThanTheBuffersArriveWhole(t *testing.T) {
	wires(t, func(t *testing.T, secure bool) {
		const streams, slow, events, size = 100, 10, 4, 200 << 10
		b := newBroker(t, func(r *http.Request) (push.Grant, error) {
			return push.Grant{Topics: push.RequestedTopics(r)}, nil
		}, push.Options{WriteTimeout: patience})
		s := newSite(t, b, secure, nil)
		var all, sippers []*reader
		for range streams - slow {
			all = append(all, s.opened("GET /?topic=small HTTP/1.1"))
		}
		for range slow {
			r := s.openFrom(func(c *net.TCPConn) { c.SetReadBuffer(64 << 10) }, "GET /?topic=small&topic=large HTTP/1.1")
			r.want("buffkit.open")
			sippers = append(sippers, r)
		}
		awaitParked(t, b, streams)
		large := func(n int) string { return strings.Repeat(fmt.Sprintf("%08d", n), size/8) }
		var small, both []string
		for n := range events {
			text := fmt.Sprint(n)
			publish(t, b, "large:"+large(n), "small:"+text)
			small, both = append(small, text), append(both, large(n), text)
		}
		for _, r := range all {
			r.want(small...)
		}
		for _, r := range sippers {
			r.want(both...)
		}
		if n := b.Stats().Parked; n != streams {
			t.Errorf("%d streams are parked", n)
		}
	})
}

// Clients that don't read, more of them than there are workers, are cut in time, and hold nobody up.
func TestStuckClientsHarmNobody(t *testing.T) {
	wires(t, func(t *testing.T, secure bool) {
		const healthy = 5
		stuck := 10 + 2*runtime.GOMAXPROCS(0)
		var cut atomic.Int64
		taken := make([]atomic.Int64, stuck+1) // events, by those that are stuck: they come first
		b := newBroker(t, push.Public("a"), push.Options{WriteTimeout: 2 * time.Second, Hooks: push.Hooks{
			Delivered: func(c push.Connection, events, _ int) {
				if c.ID <= uint64(stuck) {
					taken[c.ID].Add(int64(events))
				}
			},
			Disconnected: func(_ push.Connection, cause error) {
				if errors.Is(cause, push.ErrSlow) {
					cut.Add(1)
				}
			},
		}})
		s := newSite(t, b, secure, nil)
		for range stuck {
			s.openFrom(func(c *net.TCPConn) { c.SetReadBuffer(4 << 10) })
		}
		var readers []*reader
		for range healthy {
			readers = append(readers, s.opened())
		}
		awaitParked(t, b, stuck+healthy)
		began, got, early := time.Now(), int64(0), int64(0) // events, and those before anybody was cut
		for ; cut.Load() < int64(stuck); got++ {
			if time.Since(began) > patience {
				t.Fatalf("%d of %d stuck clients were cut after %v", cut.Load(), stuck, patience)
			}
			text := fmt.Sprint(got, strings.Repeat("x", 32<<10))
			publish(t, b, "a:"+text)
			for _, r := range readers {
				r.want(text)
			}
			if cut.Load() == 0 {
				early = got + 1
			}
		}
		for i := range taken {
			if n := taken[i].Load(); early < n+2 {
				t.Errorf("the others got %d events before anybody was cut, and stream %d, which is stuck, took %d", early, i, n)
			}
		}
		if n := b.Stats().Connections; n != healthy {
			t.Errorf("%d streams are left", n)
		}
	})
}

// Nothing is written, so only the end of the connection itself can tell.
func TestParkedClientThatClosesIsNoticed(t *testing.T) {
	wires(t, func(t *testing.T, secure bool) {
		const streams = 30
		causes := make(chan error, streams)
		b := newBroker(t, push.Public("a"), push.Options{Heartbeat: time.Hour, Hooks: push.Hooks{
			Disconnected: func(_ push.Connection, cause error) { causes <- cause },
		}})
		s := newSite(t, b, secure, nil)
		stays := s.opened()
		var all []*reader
		for range streams {
			all = append(all, s.opened())
		}
		awaitParked(t, b, streams+1)
		for i, r := range all {
			switch i % 3 {
			case 0:
				r.conn.Close() // politely
			case 1:
				r.socket.Close()
			case 2:
				r.socket.SetLinger(0)
				r.socket.Close() // with a reset
			}
		}
		await(t, "the clients to be missed", func() bool { return b.Stats() == push.Stats{Connections: 1, Parked: 1, Sessions: streams + 1} })
		for range streams {
			if cause := <-causes; cause != nil {
				t.Errorf("cause %v", cause)
			}
		}
		publish(t, b, "a:1")
		stays.want("1")
	})
}

// There is nothing that a client has to say, and nobody listens; that it has gone is noticed all the same.
func TestWhatAParkedClientSendsIsIgnored(t *testing.T) {
	wires(t, func(t *testing.T, secure bool) {
		b := newBroker(t, push.Public("a"), push.Options{Heartbeat: time.Hour})
		r := newSite(t, b, secure, nil).opened()
		awaitParked(t, b, 1)
		for n := range 20 {
			if _, err := io.WriteString(r.conn, strings.Repeat("hello?", 100)); err != nil {
				t.Fatal(err)
			}
			text := fmt.Sprint(n)
			publish(t, b, "a:"+text)
			r.want(text)
		}
		r.conn.Close()
		await(t, "the client to be missed", func() bool { return b.Stats().Connections == 0 })
	})
}

// A descriptor's number is used again at once. News of the one before must not end the next.
func TestClientsThatComeAndGoOverSockets(t *testing.T) {
	wires(t, func(t *testing.T, secure bool) {
		b := newBroker(t, push.Public("a"), push.Options{})
		s := newSite(t, b, secure, nil)
		stays := s.opened()
		for n := range 100 {
			r := s.opened()
			text := fmt.Sprint(n)
			publish(t, b, "a:"+text)
			r.want(text)
			stays.want(text)
			r.conn.Close()
		}
		await(t, "the clients to be missed", func() bool { return b.Stats().Connections == 1 })
	})
}

func TestDrainSaysGoodbyeToParkedStreams(t *testing.T) {
	wires(t, func(t *testing.T, secure bool) {
		const streams = 50
		b := newBroker(t, push.Public("a"), push.Options{DrainWindow: 100 * time.Millisecond})
		s := newSite(t, b, secure, nil)
		var all []*reader
		for range streams {
			all = append(all, s.opened())
		}
		awaitParked(t, b, streams)
		if err := b.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, r := range all {
			r.want("buffkit.bye")
			r.wantEnd()
		}
	})
}

// Those that read are told, those that don't are cut; neither has to wait for the write timeout.
func TestCloseEndsParkedStreams(t *testing.T) {
	wires(t, func(t *testing.T, secure bool) {
		const stuck = 10
		b := newBroker(t, push.Public("a"), push.Options{WriteTimeout: time.Hour})
		s := newSite(t, b, secure, nil)
		for range stuck {
			s.openFrom(func(c *net.TCPConn) { c.SetReadBuffer(4 << 10) })
		}
		healthy := s.opened()
		awaitParked(t, b, stuck+1)
		for range 20 {
			text := strings.Repeat("x", 200<<10)
			publish(t, b, "a:"+text)
			healthy.want(text)
		}
		began := time.Now()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > patience {
			t.Errorf("it took %v", took)
		}
		healthy.want("buffkit.bye")
		healthy.wantEnd()
	})
}

// A stream that misses something while it is parked gets a goroutine that heals it, and is parked again.
func TestParkedStreamHealsAGap(t *testing.T) {
	wires(t, func(t *testing.T, secure bool) {
		const rounds = 50
		b := newBroker(t, push.Public("a"), push.Options{Log: newLog(t, eventlog.Retention{Count: 2})})
		r := newSite(t, b, secure, nil).opened()
		for n := range rounds {
			awaitParked(t, b, 1)
			data := func(i int) string { return fmt.Sprint(n, " ", i) }
			publish(t, b, "a:"+data(0)) // it may be on its way while the gap is found, and is lost or not
			if _, err := b.PublishAll(t.Context(), event(data(1)), event(data(2)), event(data(3)), event(data(4))); err != nil {
				t.Fatal(err)
			}
			first := r.event()
			if string(first.Data) == data(0) {
				first = r.event()
			}
			if first.Name != "buffkit.gap" {
				t.Fatalf("round %d: came %+v, want a gap", n, first)
			}
			publish(t, b, "a:"+data(5))
			r.want(data(5))
		}
	})
}

func event(data string) push.Event { return push.Event{Topic: "a", Data: []byte(data)} }

func TestParkedAnswerKeepsTheHeadersOfMiddleware(t *testing.T) {
	wires(t, func(t *testing.T, secure bool) {
		b := newBroker(t, push.Public("a"), push.Options{})
		s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Request-Id", "7")
			w.Header().Add("Set-Cookie", "a=1")
			w.Header().Add("Set-Cookie", "b=2")
			w.Header().Set("Content-Length", "5")
			b.ServeHTTP(w, r)
		}), secure, nil)
		r := s.opened()
		awaitParked(t, b, 1)
		h := r.answer.Header
		if h.Get("X-Request-Id") != "7" || len(h.Values("Set-Cookie")) != 2 || h.Get("Content-Type") != "text/event-stream" || h.Get("Date") == "" {
			t.Errorf("headers %v", h)
		}
		if r.answer.ContentLength != -1 || len(r.answer.TransferEncoding) > 0 || !r.answer.Close {
			t.Errorf("a length of %d, encodings %v, ends with the connection: %v", r.answer.ContentLength, r.answer.TransferEncoding, r.answer.Close)
		}
	})
}

func TestHTTP10IsParked(t *testing.T) {
	wires(t, func(t *testing.T, secure bool) {
		b := newBroker(t, push.Public("a"), push.Options{})
		r := newSite(t, b, secure, nil).opened("GET / HTTP/1.0")
		awaitParked(t, b, 1)
		publish(t, b, "a:1")
		r.want("1")
	})
}

// counted is a connection as listeners of the wild wrap them.
type counted struct {
	net.Conn
	written *atomic.Int64
}

func (c counted) Write(p []byte) (int, error) {
	c.written.Add(int64(len(p))) // before the client can have it
	return c.Conn.Write(p)
}

// What is wrapped around a connection may do anything: it isn't gone around.
func TestWrappedConnectionKeepsItsGoroutine(t *testing.T) {
	wires(t, func(t *testing.T, secure bool) {
		var written atomic.Int64
		b := newBroker(t, push.Public("a"), push.Options{Heartbeat: time.Hour})
		r := newSite(t, b, secure, func(c net.Conn) net.Conn { return counted{c, &written} }).opened()
		for n := range 3 {
			text := fmt.Sprint(n, strings.Repeat("x", 1000))
			before := written.Load()
			publish(t, b, "a:"+text)
			r.want(text)
			if written.Load() < before+1000 {
				t.Error("gone around")
			}
		}
		if n := b.Stats().Parked; n != 0 {
			t.Errorf("%d streams are parked", n)
		}
		r.conn.Close()
		await(t, "the client to be missed", func() bool { return b.Stats().Connections == 0 })
	})
}

func TestParkNever(t *testing.T) {
	wires(t, func(t *testing.T, secure bool) {
		b := newBroker(t, push.Public("a"), push.Options{Parking: push.ParkNever})
		r := newSite(t, b, secure, nil).opened()
		publish(t, b, "a:1", "a:2")
		r.want("1", "2")
		if n := b.Stats().Parked; n != 0 || r.answer.Close {
			t.Errorf("%d streams are parked; the answer ends with its connection: %v", n, r.answer.Close)
		}
	})
}

func TestParkAlways(t *testing.T) {
	wires(t, func(t *testing.T, secure bool) {
		var logged record
		b := newBroker(t, push.Public("a"), push.Options{Parking: push.ParkAlways, Logger: logged.logger()})
		r := newSite(t, b, secure, nil).opened()
		awaitParked(t, b, 1)
		publish(t, b, "a:1")
		r.want("1")
		if logged.String() != "" {
			t.Errorf("logged %s", logged.String())
		}
	})
}

// What ParkAlways wants is impossible: that must not go unnoticed.
func TestParkAlwaysRefusesWhatCantBeParked(t *testing.T) {
	t.Parallel()
	newRefusing := func(t *testing.T) (*push.Broker, func(string)) {
		var logged record
		b := newBroker(t, push.Public("a"), push.Options{Parking: push.ParkAlways, Logger: logged.logger()})
		return b, func(say string) {
			t.Helper()
			await(t, "the end of the stream", func() bool { return b.Stats().Connections == 0 })
			if text := logged.String(); !strings.Contains(text, "ParkAlways") || !strings.Contains(text, say) {
				t.Errorf("the log doesn't say %q: %s", say, text)
			}
		}
	}
	t.Run("HTTP/2", func(t *testing.T) {
		t.Parallel()
		b, check := newRefusing(t)
		s := server(t, b, true, nil)
		body, _ := io.ReadAll(get(t, s.Client(), s.URL).Body)
		if !bytes.Contains(body, []byte("event: buffkit.bye\n")) {
			t.Errorf("answered %q", body)
		}
		check("HTTP/2.0")
	})
	for name, secure := range map[string]bool{"a wrapped connection": false, "a wrapped connection beneath TLS": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, check := newRefusing(t)
			r := newSite(t, b, secure, func(c net.Conn) net.Conn { return counted{c, new(atomic.Int64)} }).opened()
			r.want("buffkit.bye")
			r.wantEnd()
			check("push_test.counted")
		})
	}
}
