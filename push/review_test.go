package push_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
	"github.com/buffkit/buffkit/push/pushtest"
)

// An event of a stream's own that lies further away than one read of the log is not forgotten when the stream gets in step before it.
func TestOwnEventsBehindManySharedOnesArrive(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, push.Public("a"), push.Options{Linger: 100 * time.Millisecond})
		s, other := connect(t, b, "/?topic=a"), connect(t, b, "/?topic=a")
		s.want("open:fresh")
		other.want("open:fresh")
		session := s.session()
		var want []string
		for n := range 300 {
			publish(t, b, fmt.Sprint("a:", n))
			want = append(want, fmt.Sprint(n))
		}
		if _, err := b.SendSession(t.Context(), session, push.Event{Data: []byte("own")}); err != nil {
			t.Fatal(err)
		}
		want = append(want, "own")
		pass(time.Second)
		got := s.next()
		if len(got) != len(want) || got[len(got)-1] != "own" {
			t.Errorf("%d of %d events came, the last is %q", len(got), len(want), got[len(got)-1])
		}
	})
}

// A log that only says that any topic may have news, of events for a session, loses none of them.
func TestOwnEventsArriveThatALogIsVagueAbout(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var session string
		log := &vagueLog{Log: newLog(t, none), session: &session}
		b := newBroker(t, push.Public("a"), push.Options{Log: log, Linger: 100 * time.Millisecond})
		s, other := connect(t, b, "/?topic=a"), connect(t, b, "/?topic=a")
		s.want("open:fresh")
		other.want("open:fresh")
		pass(time.Second)
		session = s.session()
		for _, to := range []string{session, other.session()} {
			if _, err := b.SendSession(t.Context(), to, push.Event{Data: []byte("own")}); err != nil {
				t.Fatal(err)
			}
			publish(t, b, "a:shared")
		}
		pass(time.Second)
		s.want("own", "shared", "shared")
		other.want("shared", "own", "shared")
	})
}

type vagueLog struct {
	eventlog.Log
	session *string
}

func (l *vagueLog) Watch(ctx context.Context, wake func(string)) error {
	return l.Log.Watch(ctx, func(topic string) {
		if *l.session != "" && strings.HasSuffix(topic, *l.session) {
			topic = ""
		}
		wake(topic)
	})
}

// A stream that is ended while it is on its way to its shard is ended once, and leaves nothing behind.
func TestAStreamIsEndedOnItsWayToAShard(t *testing.T) {
	ended := make(chan error, 10)
	b := newBroker(t, func(*http.Request) (push.Grant, error) { return push.Grant{Topics: []string{"a"}, User: "u"}, nil },
		push.Options{Hooks: push.Hooks{Disconnected: func(_ push.Connection, cause error) { ended <- cause }}})
	b.OnDetach(func() {
		release := b.HoldUsers()
		go func() {
			<-time.After(20 * time.Millisecond) // it waits to get into its user's list
			for s := range b.Sessions() {
				b.Revoke(s.ID)
			}
			<-time.After(20 * time.Millisecond) // the shard has got the note
			release()
		}()
	})
	s := pushtest.NewServer(t, b)
	r, err := s.Client().Get(s.URL + "/?topic=a")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	select {
	case cause := <-ended:
		if cause != push.ErrRevoked {
			t.Errorf("ended by %v", cause)
		}
	case <-time.After(5 * time.Second):
		t.Error("not ended")
	}
	<-time.After(50 * time.Millisecond)
	if n, stats := b.UserStreams("u"), b.Stats(); n != 0 || stats.Connections != 0 || stats.Parked != 0 {
		t.Errorf("%d streams of the user, %+v", n, stats)
	}
}

// unsure stores what it is given, then says that it doesn't know, as a log whose answer got lost.
type unsure struct {
	eventlog.Log
	on atomic.Bool
}

func (l *unsure) Append(ctx context.Context, events ...eventlog.Event) ([]eventlog.Cursor, error) {
	<-time.After(time.Second)
	c, err := l.Log.Append(ctx, events...)
	if l.on.Load() {
		return nil, errors.New("connection reset")
	}
	return c, err
}

func TestEventsAreNotStoredTwiceByALogThatIsUnsure(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		log := &unsure{Log: newLog(t, none)}
		log.on.Store(true)
		b := newBroker(t, push.Public("a"), push.Options{Log: log})
		s := connect(t, b, "/")
		s.want("open:fresh")
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() { b.Publish(t.Context(), push.Event{Topic: "a", Data: []byte(fmt.Sprint(i))}) })
		}
		all.Wait()
		if got := s.next(); len(got) != 4 {
			t.Errorf("came %q", got)
		}
	})
}

// hung is a log that doesn't answer.
type hung struct {
	eventlog.Log
	hang atomic.Bool
}

func (l *hung) Append(ctx context.Context, events ...eventlog.Event) ([]eventlog.Cursor, error) {
	<-time.After(time.Second)
	if l.hang.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return l.Log.Append(ctx, events...)
}

func TestPublishersThatShareAnAppendGiveUpInTime(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		log := &hung{Log: newLog(t, none)}
		b := newBroker(t, push.Public("a"), push.Options{Log: log})
		var all sync.WaitGroup
		log.hang.Store(true)
		var done atomic.Int64
		for range 4 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				b.Publish(ctx, push.Event{Topic: "a"})
				done.Add(1)
			})
		}
		pass(30 * time.Second)
		if n := done.Load(); n != 4 {
			t.Errorf("%d of 4 calls came back", n)
		}
		if !t.Failed() {
			all.Wait()
		}
	})
}

// counting counts reads.
type counting struct {
	eventlog.Log
	reads atomic.Int64
}

func (l *counting) Read(ctx context.Context, topics []string, after eventlog.Cursor, most int) (eventlog.Batch, error) {
	l.reads.Add(1)
	return l.Log.Read(ctx, topics, after, most)
}

// A client whose cursor names partitions that aren't there keeps nobody busy.
func TestBogusPartitionsDontSpin(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		log := &counting{Log: newLog(t, none)}
		b := newBroker(t, push.Public("a"), push.Options{Log: log})
		s := connect(t, b, "/")
		s.want("open:fresh")
		publish(t, b, "a:1")
		s.want("1")
		id := s.lastID()
		r := connect(t, b, "/", "Last-Event-ID", id+".5-100.7-zzzz")
		other := connect(t, b, "/", "Last-Event-ID", id+".5-100")
		pass(time.Second)
		before := log.reads.Load()
		pass(time.Second)
		if n := log.reads.Load() - before; n > 10 {
			t.Errorf("%d reads", n)
		}
		publish(t, b, "a:2")
		pass(time.Second)
		r.next()
		if got := other.next(); got[len(got)-1] != "2" {
			t.Errorf("%q", got)
		}
		if parks(t) && b.Stats().Parked != 3 {
			t.Errorf("%+v", b.Stats())
		}
	})
}

// The server's own watch of a connection ends when it is taken over.
func TestASnapshotsContextEndsWithItsClient(t *testing.T) {
	for _, p := range []push.Parking{push.ParkAuto, push.ParkNever} {
		began, ended := make(chan bool, 1), make(chan bool, 1)
		b := newBroker(t, push.Public("a"), push.Options{Parking: p, Snapshot: func(ctx context.Context, _ push.Lost) ([]push.Event, error) {
			began <- true
			<-ctx.Done()
			ended <- true
			return nil, ctx.Err()
		}})
		s := httptest.NewServer(b)
		c, _ := net.Dial("tcp", s.Listener.Addr().String())
		fmt.Fprintf(c, "GET /?topic=a HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 1.1\r\n\r\n")
		http.ReadResponse(bufio.NewReader(c), nil)
		<-began
		c.Close()
		select {
		case <-ended:
		case <-time.After(3 * time.Second):
			t.Errorf("parking %v: still rendering", p)
		}
		b.Close()
		s.Close()
	}
}

// What was read for those who came back before must not count for who comes back when nobody is in step: nothing tells him of what came since.
func TestAStreamThatComesBackWhenNobodyIsInStepHearsOfWhatCameMeanwhile(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, push.Public("a"), push.Options{})
		slow := connect(t, b, "/?topic=a") // keeps the audience
		slow.want("open:fresh")
		at, err := b.Cursor(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		slow.w.stall()
		publish(t, b, "a:1")
		pass(1)
		s := connect(t, b, "/?topic=a&cursor="+at.String())
		s.want("open:resumed:1", "1")
		s.close()
		publish(t, b, "a:2")
		pass(1)
		connect(t, b, "/?topic=a&cursor="+at.String()).want("open:resumed:2", "1", "2")
	})
}

// A read that ends in one partition before the limit must not pass over what it hasn't read of another.
func TestAReadUpToALimitSkipsNoPartition(t *testing.T) {
	after, limit := eventlog.NewCursor(7, 1).With(1, 1), eventlog.NewCursor(7, 100).With(1, 100)
	entries, next := push.ReadWindow(twoPartitions{}, after, limit)
	if want := int(next.At(0)-1) + int(next.At(1)-1); len(entries) != want || next.Beyond(limit) {
		t.Errorf("%d entries up to %v, want %d", len(entries), next, want)
	}
}

// twoPartitions has offsets 1 to 300 in each of two partitions, and reads one after the other.
type twoPartitions struct{ eventlog.Log }

func (twoPartitions) Read(_ context.Context, _ []string, after eventlog.Cursor, most int) (b eventlog.Batch, err error) {
	b.Next = after
	for p := range uint32(2) {
		for o := after.At(p) + 1; o <= 300; o++ {
			if b.Behind++; len(b.Entries) < most {
				b.Entries = append(b.Entries, eventlog.Entry{Partition: p, Offset: o, Topic: "a", Frame: []byte("x")})
				b.Next = b.Next.With(p, o)
			}
		}
	}
	return b, nil
}

// Those that come back with much to read don't hold up those that are here, whatever it takes to write to one of them.
func TestThoseThatCatchUpDontHoldUpTheOthers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		onlyOn(t, onShard, "a goroutine serves one stream")
		const write = 500 * time.Microsecond
		b := newBroker(t, push.Public("a", "live"), push.Options{})
		b.WritesTake(write)
		here := connect(t, b, "/?topic=live")
		here.want("open:fresh")
		at := publish(t, b, "a:0")
		publish(t, b, "a:1", "a:2")
		late := make([]*stream, 200)
		for i := range late {
			late[i] = connect(t, b, "/?topic=a", "Last-Event-ID", at.String())
		}
		for range 5 {
			pass(11 * write) // in the midst of it
			publish(t, b, "live:news")
			pass(6 * write)
			here.want("news")
		}
		pass(time.Second)
		for _, s := range late {
			s.want("open:resumed:2", "1", "2")
		}
	})
}

// A quiet stream gets its heartbeats although the machine's clock was set back.
func TestHeartbeatsComeWhenTheClockWasSetBack(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		onlyOn(t, onShard, "a goroutine's timer goes by no clock that is set")
		const beat = 10 * time.Second
		b := newBroker(t, push.Public("a"), push.Options{Heartbeat: beat})
		s := connect(t, b, "/")
		publish(t, b, "a:1")
		s.want("open:fresh", "1")
		b.SetBack(time.Hour)
		pass(2 * beat)
		if got := s.next(); len(got) == 0 {
			t.Errorf("nothing came in %v", 2*beat)
		}
		pass(10 * beat)
		if got := len(s.next()); got < 9 || got > 12 {
			t.Errorf("%d heartbeats in the time of 10", got)
		}
	})
}
