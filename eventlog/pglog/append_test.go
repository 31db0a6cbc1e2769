package pglog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/pglog"
)

func TestWritersOfSeveralNodesCommitInOffsetOrder(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	var nodes []*pglog.Store
	var tapes []*tape
	for range 3 {
		s := openStore(t, dsn, nil)
		nodes, tapes = append(nodes, s), append(tapes, follow(t, s, eventlog.Cursor{}), follow(t, s, eventlog.Cursor{}))
	}
	const writers, each = 12, 40
	var all sync.WaitGroup
	var mu sync.Mutex
	places := map[string]eventlog.Offset{}
	for w := range writers {
		all.Go(func() {
			for i := range each {
				records := []eventlog.Record{record(fmt.Sprint("t", w%5), fmt.Sprintf("%d/%d/a", w, i)), record("all", fmt.Sprintf("%d/%d/b", w, i))}
				if _, err := nodes[w%3].Append(t.Context(), records); err != nil {
					t.Error(err)
				}
				mu.Lock()
				for _, r := range records {
					places[string(r.Body)] = r.Offset
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for _, p := range tapes {
		got := p.wait(2 * writers * each)
		if len(got) != len(places) {
			t.Errorf("%d records, want %d", len(got), len(places))
		}
		for _, r := range got {
			if places[string(r.Body)] != r.Offset {
				t.Errorf("%s is at %d, Append said %d", r.Body, r.Offset, places[string(r.Body)])
			}
		}
	}
}

func TestAppendsThatComeTogetherShareATransaction(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	s := openStore(t, dsn, nil)
	release := lockLog(t, dsn)
	var all sync.WaitGroup
	all.Go(func() { mustAppend(t, s, record("t", "first")) })
	until(t, "the first on its way", func() bool { return s.Batches() == 1 })
	for i := range 99 {
		all.Go(func() { mustAppend(t, s, record("t", fmt.Sprint(i))) })
	}
	until(t, "99 in the queue", func() bool { return s.Queued() >= 99 })
	release()
	all.Wait()
	if n := s.Batches(); n > 3 {
		t.Errorf("%d transactions for 100 events", n)
	}
}

// lockLog holds what every Append needs.
func lockLog(t *testing.T, dsn string) (release func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "BEGIN; SELECT * FROM buffkit_log FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() { _ = conn.Close(context.Background()) })
	t.Cleanup(release)
	return release
}

func TestARecordThatTheServerRefusesFailsItsCallAlone(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	s := openStore(t, dsn, nil)
	release := lockLog(t, dsn)
	var all sync.WaitGroup
	var failed atomic.Int64
	all.Go(func() { mustAppend(t, s, record("t", "alone")) })
	until(t, "it to be sent", func() bool { return s.Batches() == 1 })
	for i := range 10 {
		all.Go(func() {
			topic := "t"
			if i == 5 {
				topic = "\xff" // a Replica never lets it through
			}
			if _, err := s.Append(t.Context(), []eventlog.Record{record("t", "first"), record(topic, "second")}); err != nil {
				failed.Add(1)
				if topic == "t" || errors.Is(err, eventlog.ErrUnknownOutcome) {
					t.Errorf("%q: %v", topic, err)
				}
			}
		})
	}
	until(t, "the queue", func() bool { return s.Queued() == 10 })
	release()
	all.Wait()
	h, err := s.History(t.Context(), eventlog.Range{Topic: "t", Max: 100})
	if err != nil || len(h.Records) != 19 || failed.Load() != 1 {
		t.Errorf("%d stored, %d failed, %v", len(h.Records), failed.Load(), err)
	}
}

func TestAnAppendThatIsCancelledSaysWhetherItMayBeStored(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	s := openStore(t, dsn, nil)
	release := lockLog(t, dsn)
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error, 2)
	first := func() { _, err := s.Append(ctx, []eventlog.Record{record("t", "sent")}); errs <- err }
	go first()
	until(t, "it to be sent", func() bool { return s.Batches() == 1 })
	go func() {
		_, err := s.Append(ctx, []eventlog.Record{record("t", "queued")})
		errs <- err
	}()
	until(t, "one in the queue", func() bool { return s.Queued() == 1 })
	cancel()
	unknown := 0
	for range 2 {
		err := <-errs
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if errors.Is(err, eventlog.ErrUnknownOutcome) {
			unknown++
		}
	}
	if unknown != 1 {
		t.Errorf("%d unknown, want the one that was sent", unknown)
	}
	release()
	mustAppend(t, s, record("t", "later"))
	h, err := s.History(t.Context(), eventlog.Range{Topic: "t", Max: 100})
	if got := bodies(h.Records); err != nil || !slices.Equal(got, []string{"sent", "later"}) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAnIdempotencyKeyIsStoredOnceByAllNodes(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	var all sync.WaitGroup
	var mu sync.Mutex
	stored, offsets := 0, map[eventlog.Offset]bool{}
	nodes := []*pglog.Store{openStore(t, dsn, nil), openStore(t, dsn, nil)}
	for i := range 20 {
		all.Go(func() {
			r := record("t", fmt.Sprint(i))
			r.IdempotencyKey = "order-7"
			again := r
			records := mustAppend(t, nodes[i%2], r, record("t", "other"), again)
			mu.Lock()
			defer mu.Unlock()
			offsets[records[0].Offset], offsets[records[2].Offset] = true, true
			if !records[0].Repeated {
				stored++
			}
			if !records[2].Repeated || records[1].Repeated {
				t.Errorf("%+v", records)
			}
		})
	}
	all.Wait()
	if stored != 1 || len(offsets) != 1 {
		t.Errorf("stored %d times at %d places", stored, len(offsets))
	}
}

func TestAnIdempotencyKeyCountsInItsWindow(t *testing.T) {
	t.Parallel()
	s := openStore(t, fresh(t), &pglog.Options{IdempotencyWindow: 1}) // a nanosecond, which is no microsecond
	r := record("t", "1")
	r.IdempotencyKey = "k"
	first := mustAppend(t, s, r)[0].Offset
	second := mustAppend(t, s, r)[0]
	if second.Repeated || second.Offset == first {
		t.Errorf("%+v", second)
	}
}
