package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

func testTailFrom(t *testing.T, newStore Factory) {
	store := open(t, newStore, Config{})
	all := series("t", 300)
	mustAppend(t, store, all[:100]...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	head := follow(t, ctx, store, eventlog.Cursor{})
	if p := head.page(); len(p.Records) > 0 || p.Head.At(0) != all[99].Offset {
		t.Fatalf("the first page has %d records and the head %v, want none and %d", len(p.Records), p.Head, all[99].Offset)
	}
	mustAppend(t, store, all[100:]...)
	if got := head.records(200); got[0].Offset != all[100].Offset {
		t.Errorf("behind the head came %d, want %d", got[0].Offset, all[100].Offset)
	}
	epoch := headOf(t, store).Epoch()
	if got := follow(t, ctx, store, eventlog.NewCursor(epoch, all[49].Offset)).records(250); got[249].Offset != all[299].Offset {
		t.Errorf("the last is %d, want %d", got[249].Offset, all[299].Offset)
	}
	began := time.Now()
	for range 20 { // one after the other: how soon one comes, within reason
		mustAppend(t, store, record("t", 0))
		head.records(1)
	}
	if took := time.Since(began); took > patience/3 {
		t.Errorf("20 records took %v to come", took)
	}
}

func testTailIsAlive(t *testing.T, newStore Factory) {
	store := open(t, newStore, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	f := follow(t, ctx, store, eventlog.Cursor{})
	f.page()
	for range 3 {
		before := time.Now()
		f.page()
		if silent := time.Since(before); silent > 2*time.Second { // a second, and as much for a slow machine
			t.Errorf("nothing was said for %v", silent)
		}
	}
	cancel()
	if err := f.end(); !errors.Is(err, context.Canceled) {
		t.Errorf("Tail returned %v, want the context's error", err)
	}
}

func testTailStops(t *testing.T, newStore Factory) {
	store := open(t, newStore, Config{})
	full := errors.New("full")
	start := headOf(t, store)
	mustAppend(t, store, record("t", 1))
	if err := store.Tail(t.Context(), start, func(eventlog.Page) error { return full }); !errors.Is(err, full) {
		t.Errorf("Tail returned %v, want next's error", err)
	}
}

func testOwnership(t *testing.T, newStore Factory) {
	store := open(t, newStore, Config{})
	start := headOf(t, store)
	mustAppend(t, store, series("t", 3)...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 2 {
		tailed := follow(t, ctx, store, start).records(3)
		read := mustHistory(t, store, eventlog.Range{Topic: "t", Max: 3}).Records
		for how, records := range map[string][]eventlog.Record{"tail": tailed, "history": read} {
			if got := bodies(records); got != "0 1 2" {
				t.Errorf("%s: %q: somebody else wrote to it", how, got)
			}
			for i := range records {
				clear(records[i].Body)
				records[i] = eventlog.Record{}
			}
		}
	}
}

func testConcurrency(t *testing.T, newStore Factory) {
	const writers, calls, each = 8, 25, 4
	store := open(t, newStore, Config{Retention: eventlog.Retention{Count: -1}})
	nodes := []eventlog.Store{store}
	if store.Again != nil {
		nodes = append(nodes, store.Again(t))
	}
	start := headOf(t, store)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var readers, wg sync.WaitGroup
	for _, node := range nodes {
		for range 2 {
			readers.Go(func() { checkTail(t, follow(t, ctx, node, start), writers*calls*each) })
			readers.Go(func() { checkHistory(t, node, writers*calls*each/2) })
		}
	}
	for w := range writers {
		wg.Go(func() {
			for i := range calls {
				var records []eventlog.Record
				for j := range each {
					records = append(records, eventlog.Record{Topic: fmt.Sprint("t", j%2), Body: fmt.Appendf(nil, "%d %d\n\n", w, i*each+j)})
				}
				if _, err := nodes[w%len(nodes)].Append(t.Context(), records); err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
				for j := 1; j < each; j++ {
					if records[j].Offset <= records[j-1].Offset || records[j].Chain != records[j-1].Offset {
						t.Errorf("writer %d: one call's records aren't together: %d names %d, want %d", w, records[j].Offset, records[j].Chain, records[j-1].Offset)
					}
				}
			}
		})
	}
	wg.Wait()
	readers.Wait()
}

// checkTail reads n records, each of each writer once and in its order. The tailer checks the rest.
func checkTail(t *testing.T, f *tailer, n int) {
	next := map[int]int{}
	for deadline := time.Now().Add(patience); n > 0; {
		if time.Now().After(deadline) {
			t.Errorf("%d records never came", n)
			return
		}
		select {
		case p := <-f.pages:
			for _, r := range p.Records {
				var w, i int
				fmt.Sscan(string(r.Body), &w, &i)
				if r.Chain != f.last[0] && f.last[0] != 0 {
					t.Errorf("record %d names %d before it, but %d came", r.Offset, r.Chain, f.last[0])
				}
				if i != next[w] || r.Offset <= f.last[0] {
					t.Errorf("record %d of writer %d came at %d after %d, want record %d", i, w, r.Offset, f.last[0], next[w])
					return
				}
				f.last[0], next[w] = r.Offset, i+1
				n--
			}
		case err := <-f.done:
			t.Errorf("Tail ended: %v", err)
			return
		case <-time.After(patience):
			t.Errorf("no page within %v", patience)
			return
		}
	}
}

// checkHistory reads n records of a topic in pages while they are written, without a hole.
func checkHistory(t *testing.T, store eventlog.Store, n int) {
	last := eventlog.Offset(0)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); n > 0; <-tick.C {
		h, err := store.History(t.Context(), eventlog.Range{Topic: "t0", After: last, Max: 7})
		if err != nil || time.Now().After(deadline) {
			t.Errorf("history: %v; %d records are missing", err, n)
			return
		}
		for _, r := range h.Records {
			if r.Prev != last || r.Offset <= last {
				t.Errorf("record %d names %d before it, but %d was read", r.Offset, r.Prev, last)
				return
			}
			last = r.Offset
			n--
		}
	}
}

func testSupersede(t *testing.T, newStore Factory) {
	store := open(t, newStore, Config{})
	old := mustAppend(t, store, series("t", 3)...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := follow(t, ctx, store, headOf(t, store))
	f.page()
	epochs := make([]uint64, 8)
	var wg sync.WaitGroup
	for i := range epochs {
		wg.Go(func() {
			var err error
			if epochs[i], err = store.Supersede(t.Context(), old); err != nil {
				t.Errorf("Supersede: %v", err)
			}
		})
	}
	wg.Wait()
	for _, epoch := range epochs {
		if epoch == old || epoch == 0 || epoch != epochs[0] {
			t.Fatalf("epochs %v after %d, want one new one", epochs, old)
		}
	}
	for p := f.page(); p.Epoch != epochs[0]; p = f.page() {
		if p.Epoch != old {
			t.Fatalf("a page has the epoch %d", p.Epoch)
		}
	}
	records := series("t", 1)
	if epoch := mustAppend(t, store, records...); epoch != epochs[0] {
		t.Errorf("Append returned the epoch %d, want %d", epoch, epochs[0])
	}
	if h := mustHistory(t, store, eventlog.Range{Topic: "t", Max: 9}); h.Epoch != epochs[0] || len(h.Records) != 4 {
		t.Errorf("history: %+v", h)
	}
}

func testNodes(t *testing.T, newStore Factory) {
	store := open(t, newStore, Config{})
	if store.Again == nil {
		t.Skip("this store isn't shared")
	}
	other := store.Again(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := follow(t, ctx, other, headOf(t, other))
	f.page()
	key := record("t", 0)
	key.IdempotencyKey = "k"
	first, second := []eventlog.Record{key}, []eventlog.Record{key, record("t", 1)}
	e1, e2 := mustAppend(t, store, first...), mustAppend(t, other, second...)
	if e1 != e2 || !second[0].Repeated || second[1].Chain != first[0].Offset || second[1].Prev != first[0].Offset {
		t.Errorf("epochs %d and %d; %+v, %+v", e1, e2, first, second)
	}
	if got := bodies(f.records(2)); got != "0 1" {
		t.Errorf("tailed %q", got)
	}
	epoch, err := store.Supersede(t.Context(), e1)
	if err != nil {
		t.Fatal(err)
	}
	for f.page().Epoch != epoch {
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, other, record("t", 2))
	f.records(1)
	again := store.Again(t)
	if got := bodies(mustHistory(t, again, eventlog.Range{Topic: "t", Max: 9}).Records); got != "0 1 2" {
		t.Errorf("after one was closed and opened again: %q", got)
	}
}

func testCancelled(t *testing.T, newStore Factory) {
	store := open(t, newStore, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err1 := store.Append(ctx, series("t", 1))
	err2 := store.Tail(ctx, eventlog.Cursor{}, func(eventlog.Page) error { return nil })
	_, err3 := store.History(ctx, eventlog.Range{Topic: "t", Max: 1})
	for i, err := range []error{err1, err2, err3} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("call %d: %v, want context.Canceled", i+1, err)
		}
	}
	if h := mustHistory(t, store, eventlog.Range{Topic: "t", Max: 1}); len(h.Records) > 0 {
		t.Error("a cancelled Append has stored something")
	}
	mustAppend(t, store, record("t", 1)) // and the store works on
}

func testClosed(t *testing.T, newStore Factory) {
	store := open(t, newStore, Config{})
	mustAppend(t, store, series("t", 1)...)
	f := follow(t, t.Context(), store, eventlog.Cursor{})
	f.page()
	if err := store.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	_, err1 := store.Append(t.Context(), series("t", 1))
	_, err2 := store.History(t.Context(), eventlog.Range{Topic: "t", Max: 1})
	_, err3 := store.Supersede(t.Context(), 1)
	err4 := store.Tail(t.Context(), eventlog.Cursor{}, func(eventlog.Page) error { return nil })
	for i, err := range []error{err1, err2, err3, err4, f.end(), store.Close()} {
		if !errors.Is(err, eventlog.ErrClosed) {
			t.Errorf("call %d: %v, want ErrClosed", i+1, err)
		}
	}
}
