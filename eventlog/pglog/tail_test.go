package pglog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/pglog"
	"github.com/buffkit/buffkit/internal/servers"
)

func TestTailBeginsBehindItsCursorAndZeroIsTheHead(t *testing.T) {
	t.Parallel()
	s := openStore(t, fresh(t), nil)
	first := mustAppend(t, s, record("t", "1"), record("t", "2"), record("t", "3"))
	epoch, err := s.Append(t.Context(), []eventlog.Record{record("t", "4")})
	if err != nil {
		t.Fatal(err)
	}
	if got := bodies(follow(t, s, eventlog.NewCursor(epoch, first[0].Offset)).wait(3)); !slices.Equal(got, []string{"2", "3", "4"}) {
		t.Errorf("behind the first: %q", got)
	}
	head := follow(t, s, eventlog.Cursor{})
	mustAppend(t, s, record("t", "5"))
	if got := bodies(head.wait(1)); !slices.Equal(got, []string{"5"}) {
		t.Errorf("from the head: %q", got)
	}
}

func TestTailSendsAPageEachSecond(t *testing.T) {
	t.Parallel()
	s := openStore(t, fresh(t), nil)
	p := follow(t, s, eventlog.Cursor{})
	begin := time.Now()
	until(t, "four pages", func() bool { return p.seen(func() bool { return p.pages >= 4 }) })
	if spent := time.Since(begin); spent > 10*time.Second {
		t.Errorf("it took %v", spent)
	}
}

func TestTailPagesByCountAndBytes(t *testing.T) {
	t.Parallel()
	s := openStore(t, fresh(t), nil)
	big := strings.Repeat("x", 1<<20)
	for i := range 10 {
		mustAppend(t, s, record("big", big), record("big", fmt.Sprint(i)))
	}
	var small []eventlog.Record
	for i := range 2500 {
		small = append(small, record("small", fmt.Sprint(i)))
	}
	mustAppend(t, s, small...)
	h, err := s.History(t.Context(), eventlog.Range{Topic: "big", Max: 1})
	if err != nil {
		t.Fatal(err)
	}
	largest := 0
	ctx, cancel := context.WithCancel(t.Context())
	seen := 0
	err = s.Tail(ctx, eventlog.NewCursor(h.Epoch, 1), func(p eventlog.Page) error {
		size := 0
		for _, r := range p.Records {
			size += len(r.Body)
		}
		largest = max(largest, size)
		if seen += len(p.Records); seen == 2520 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || largest > 6<<20 {
		t.Errorf("%v, a page of %d bytes", err, largest)
	}
}

// Behind a pooler in transaction mode notifications arrive nowhere: each node asks, and all works but later.
func TestBehindAPoolerAllWorks(t *testing.T) {
	t.Parallel()
	server, name := freshDatabase(t)
	pooler, err := servers.PgBouncer(server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pooler.Stop(); err != nil {
			t.Error(err)
		}
	})
	s := openStore(t, pooler.URL(name), &pglog.Options{Poll: 20 * time.Millisecond})
	other := openStore(t, pooler.URL(name), &pglog.Options{Poll: 20 * time.Millisecond})
	if !s.Pooled() {
		t.Fatal("the pooler wasn't noticed")
	}
	tapes := []*tape{follow(t, s, eventlog.Cursor{}), follow(t, other, eventlog.Cursor{})}
	var all sync.WaitGroup
	for w := range 6 {
		all.Go(func() {
			for i := range 20 {
				r := record(fmt.Sprint("t", i%3), fmt.Sprintf("%d/%d", w, i))
				if i%4 == 0 {
					r.IdempotencyKey = string(r.Body)
				}
				mustAppend(t, []*pglog.Store{s, other}[w%2], r)
			}
		})
	}
	all.Wait()
	for _, p := range tapes {
		if got := p.wait(120); len(got) != 120 {
			t.Errorf("%d records", len(got))
		}
	}
	h, err := s.History(t.Context(), eventlog.Range{Topic: "t1", Max: 100})
	if err != nil || len(h.Records) != 42 {
		t.Errorf("%d records of a topic, %v", len(h.Records), err)
	}
	if err := s.Sweep(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if _, err := s.Supersede(t.Context(), h.Epoch); err != nil {
		t.Error(err)
	}
}

// Somebody's RESET, a server that drops its queue: notifications that don't come are noticed, and what they would have told comes all the same.
func TestTailThatMissesNotificationsAsksMoreOften(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	s := openStore(t, dsn, &pglog.Options{Poll: 10 * time.Millisecond})
	muteNotifications(t, dsn)
	p := follow(t, s, eventlog.Cursor{})
	for i := range 3 {
		mustAppend(t, s, record("t", fmt.Sprint(i)))
		p.wait(i + 1)
	}
	begin := time.Now()
	for i := range 20 {
		mustAppend(t, s, record("t", fmt.Sprint(i)))
		p.wait(4 + i)
	}
	if spent := time.Since(begin); spent > 10*time.Second { // twenty seconds if it asked each second
		t.Errorf("20 events took %v", spent)
	}
}

// muteNotifications lets the log's functions notify nobody.
func muteNotifications(t *testing.T, dsn string) {
	t.Helper()
	exec(t, dsn, `CREATE FUNCTION pg_notify(text, text) RETURNS void LANGUAGE sql AS '';
		DO $$ BEGIN EXECUTE format('ALTER FUNCTION buffkit_log_append SET search_path = %I, pg_catalog', current_schema()); END $$`)
}

func TestTailEndsWithItsContextItsCalleeAndTheStore(t *testing.T) {
	t.Parallel()
	s := openStore(t, fresh(t), nil)
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Tail(ctx, eventlog.Cursor{}, func(eventlog.Page) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("its context: %v", err)
	}
	if err := s.Tail(t.Context(), eventlog.Cursor{}, func(eventlog.Page) error { return errNo }); err != errNo {
		t.Errorf("its callee: %v", err)
	}
	ended := make(chan error)
	go func() {
		ended <- s.Tail(t.Context(), eventlog.Cursor{}, func(eventlog.Page) error { return nil })
	}()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	_, err1 := s.Append(t.Context(), []eventlog.Record{record("t", "x")})
	_, err2 := s.History(t.Context(), eventlog.Range{Topic: "t", Max: 1})
	_, err3 := s.Supersede(t.Context(), 1)
	for i, err := range []error{<-ended, err1, err2, err3, s.Close()} {
		if !errors.Is(err, eventlog.ErrClosed) {
			t.Errorf("call %d after Close: %v", i, err)
		}
	}
}
