package sqlitelog_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/sqlitelog"
)

// startChild starts a process that appends, and returns what it acknowledges, a line an event: its cursor and its data.
func startChild(t *testing.T, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVar+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

func readAll(t *testing.T, log eventlog.Log, after eventlog.Cursor, topics ...string) (all []eventlog.Entry) {
	t.Helper()
	for {
		b, err := log.Read(t.Context(), topics, after, 1000)
		if err != nil || len(b.Gaps) > 0 {
			t.Fatalf("Read: %v, gaps %v", err, b.Gaps)
		}
		all = append(all, b.Entries...)
		if after = b.Next; len(b.Entries) == 0 {
			return all
		}
	}
}

func TestAfterKillMinus9EveryAcknowledgedEventIsThere(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	acknowledged := map[string]string{}
	for round := range 5 {
		cmd, lines := startChild(t, path)
		for n := 0; n < 50+round*37 && lines.Scan(); n++ {
			id, data, _ := strings.Cut(lines.Text(), " ")
			acknowledged[id] = data
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it had said before it died
			if id, data, ok := strings.Cut(lines.Text(), " "); ok && strings.Count(data, " ") == 1 {
				acknowledged[id] = data
			}
		}
		cmd.Wait()
	}
	log := openLog(t, path, sqlitelog.Options{})
	head, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	prev := eventlog.Offset(0)
	for _, e := range readAll(t, log, eventlog.Cursor{}, "child") {
		if e.Prev != prev {
			t.Fatalf("event %d names %d before it, and %d is", e.Offset, e.Prev, prev)
		}
		prev = e.Offset
		id := e.At(head.Epoch()).String()
		if want, ok := acknowledged[id]; ok && want != string(e.Event().Data) {
			t.Errorf("%s was %q, and is %q", id, want, e.Event().Data)
		}
		delete(acknowledged, id)
	}
	if len(acknowledged) > 0 {
		t.Errorf("%d acknowledged events are lost: %v", len(acknowledged), acknowledged)
	}
}

func TestTwoProcessesOnOneFileSeeEachOther(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	log := openLog(t, path, sqlitelog.Options{})
	start, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cmd, lines := startChild(t, path)
	defer cmd.Wait()
	defer cmd.Process.Kill()
	told := map[string]bool{}
	for n := range 300 {
		if n%3 == 0 {
			if _, err := log.Append(t.Context(), eventlog.Event{Topic: "own", Data: fmt.Append(nil, n)}); err != nil {
				t.Fatal(err)
			}
		}
		if !lines.Scan() {
			t.Fatal("the other process ended")
		}
		id, _, _ := strings.Cut(lines.Text(), " ")
		told[id] = true
	}
	last, own := eventlog.Offset(0), 0
	await(t, "all are seen", func() bool {
		for _, e := range readAll(t, log, start, "child", "own") {
			if e.Offset <= last {
				t.Fatalf("%d after %d", e.Offset, last)
			}
			last, start = e.Offset, e.At(start.Epoch())
			delete(told, start.String())
			if e.Topic == "own" {
				own++
			}
		}
		return len(told) == 0 && own == 100
	})
}

// await polls for what must come true.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !is(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestAFullDiskIsAnErrorAndNothingIsLost(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	log := openLog(t, path, sqlitelog.WithPragma(sqlitelog.Options{}, "max_page_count(100)"))
	var stored []eventlog.Cursor
	var err error
	for range 10_000 {
		var at []eventlog.Cursor
		if at, err = log.Append(t.Context(), eventlog.Event{Topic: "t", Data: []byte(strings.Repeat("x", 1000))}); err != nil {
			break
		}
		stored = append(stored, at...)
	}
	if !errors.Is(err, eventlog.ErrFull) {
		t.Fatalf("after %d events: %v, want ErrFull", len(stored), err)
	}
	if got := readAll(t, log, eventlog.Cursor{}, "t"); len(got) != len(stored) {
		t.Errorf("%d events are there, %d were acknowledged", len(got), len(stored))
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	roomy := openLog(t, path, sqlitelog.Options{})
	at, err := roomy.Append(t.Context(), eventlog.Event{Topic: "t", Data: []byte("room")})
	if err != nil || !at[0].Beyond(stored[len(stored)-1]) {
		t.Errorf("with room: %v, %v", at, err)
	}
	if got := readAll(t, roomy, eventlog.Cursor{}, "t"); len(got) != len(stored)+1 {
		t.Errorf("%d events are there, %d were acknowledged", len(got), len(stored)+1)
	}
}

func TestARestartKeepsCursors(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	log := openLog(t, path, sqlitelog.Options{})
	at, err := log.Append(t.Context(), eventlog.Event{Topic: "t", Data: []byte("1")}, eventlog.Event{Topic: "t", Data: []byte("2")})
	if err != nil {
		t.Fatal(err)
	}
	log.Close()
	again := openLog(t, path, sqlitelog.Options{Replica: eventlog.ReplicaOptions{Preload: -1}})
	if got := readAll(t, again, at[0], "t"); len(got) != 1 || string(got[0].Event().Data) != "2" {
		t.Errorf("after the restart: %v", got)
	}
	if s := again.Stats(); s.Ranges != 1 {
		t.Errorf("%d ranges were read for one topic", s.Ranges)
	}
}

func TestRetentionDeletesInTheBackground(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 1000)
	for name, tt := range map[string]struct {
		opts sqlitelog.Options
		busy int // that are kept
	}{
		"count":  {sqlitelog.Options{Retention: eventlog.Retention{Count: 5}}, 5},
		"bytes":  {sqlitelog.Options{Retention: eventlog.Retention{Bytes: 10_200}}, 10},
		"age":    {sqlitelog.Options{Retention: eventlog.Retention{Age: 20 * time.Second}}, 0},
		"budget": {sqlitelog.Options{MaxBytes: 20_000, Retention: eventlog.Retention{Bytes: -1, Count: -1, Age: -1}}, 17}, // nine tenths, and the quiet one has its own
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := openStore(t, newPath(t), &tt.opts)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			tailed := make(chan int)
			go store.Tail(ctx, eventlog.NewCursor(1, 1), func(p eventlog.Page) error {
				if len(p.Records) > 0 {
					tailed <- len(p.Records)
				}
				return nil
			})
			records := make([]eventlog.Record, 100)
			for i := range records {
				records[i] = eventlog.Record{Topic: "busy", Body: []byte(big)}
			}
			records[0].Topic = "quiet"
			if _, err := store.Append(t.Context(), records); err != nil {
				t.Fatal(err)
			}
			for n := 0; n < len(records); n += <-tailed {
			}
			if err := store.Age(ctx, 30*time.Second); err != nil {
				t.Fatal(err)
			}
			if err := store.Retain(ctx); err != nil {
				t.Fatal(err)
			}
			rows, bytes, booked, err := store.Count(ctx, "busy")
			if err != nil || rows != tt.busy || bytes != booked {
				t.Errorf("%d events are kept, want %d; %d bytes, by the books %d; %v", rows, tt.busy, bytes, booked, err)
			}
			h, err := store.History(ctx, eventlog.Range{Topic: "busy", Max: 1})
			if err != nil || tt.busy > 0 && (len(h.Records) != 1 || h.Trimmed != h.Records[0].Prev) || h.Trimmed == 0 {
				t.Errorf("history: %+v, %v", h, err)
			}
			if quiet, err := store.History(ctx, eventlog.Range{Topic: "quiet", Max: 1}); err != nil || (len(quiet.Records) == 1) != (name != "age") {
				t.Errorf("the quiet topic: %+v, %v", quiet, err)
			}
		})
	}
}
