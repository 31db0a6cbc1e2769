package sse_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/buffkit/buffkit/sse"
)

// An event is there as soon as its empty line is: the reader isn't asked for more first.
func TestScanYieldsBeforeItReadsOn(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{"data: a\n\n", "data: a\r\n\r\n", "data: a\r\r", "data: a\r\n\r", "data: a\n\r"} {
		source := io.MultiReader(strings.NewReader(stream), readFunc(func([]byte) (int, error) {
			t.Errorf("%q: read on before the event was yielded", stream)
			return 0, io.EOF
		}))
		for e, err := range sse.Scan(source, nil) {
			if err != nil || string(e.Data) != "a" {
				t.Errorf("%q: got %v, %v", stream, e, err)
			}
			break
		}
	}
}

func TestScanYieldsAReadErrorOnceAfterTheEvents(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	sources := map[string]io.Reader{
		"alone":     io.MultiReader(strings.NewReader("data: a\n\ndata: b"), iotest.ErrReader(broken)),
		"with data": readFunc(func(p []byte) (int, error) { return copy(p, "data: a\n\ndata: b"), broken }),
	}
	for name, source := range sources {
		var events, failures int
		for e, err := range sse.Scan(source, nil) {
			if err == nil {
				events++
				continue
			}
			failures++
			if !errors.Is(err, broken) || e.Data != nil {
				t.Errorf("%s: got %v, %v", name, e, err)
			}
		}
		if events != 1 || failures != 1 {
			t.Errorf("%s: %d events and %d errors, want 1 and 1", name, events, failures)
		}
	}
}

func TestScanGivesUpOnAReaderThatReturnsNothing(t *testing.T) {
	t.Parallel()
	for _, err := range sse.Scan(readFunc(func([]byte) (int, error) { return 0, nil }), nil) {
		if !errors.Is(err, io.ErrNoProgress) {
			t.Errorf("got %v", err)
		}
	}
}

func TestScanStopsWhenTheCallerBreaks(t *testing.T) {
	t.Parallel()
	var ids []string
	opts := &sse.ScanOptions{OnID: func(id string) { ids = append(ids, id) }}
	for range sse.Scan(strings.NewReader("id: 1\ndata: a\n\nid: 2\ndata: b\n\n"), opts) {
		break
	}
	if !slices.Equal(ids, []string{"1"}) {
		t.Errorf("committed %q after the break", ids)
	}
}

func TestScanGivesDataAway(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 10, 3000, 5000, 100_000} {
		stream := strings.Repeat("data: "+strings.Repeat("x", size)+"\n\n", 5)
		var all [][]byte
		for e, err := range sse.Scan(strings.NewReader(stream), nil) {
			if err != nil {
				t.Fatal(err)
			}
			for _, data := range all {
				if bytes.IndexByte(data, 'x') >= 0 {
					t.Fatalf("%d bytes: a later event wrote over an earlier one's data", size)
				}
			}
			if len(e.Data) != size || e.Data == nil {
				t.Fatalf("%d bytes: got %d", size, len(e.Data))
			}
			for i := range e.Data {
				e.Data[i] = 'y'
			}
			all = append(all, e.Data)
		}
	}
}

func TestScanTellsInheritedIDs(t *testing.T) {
	t.Parallel()
	stream := "data: none\n\nid: 1\ndata: own\n\ndata: inherited\n\nid: 1\ndata: own\n\nid: 2\n\ndata: inherited\n\nid\ndata: none\n\n"
	for e, err := range sse.Scan(strings.NewReader(stream), nil) {
		if err != nil {
			t.Fatal(err)
		}
		if want := string(e.Data) == "inherited"; e.Inherited != want || (e.ID == "") != (string(e.Data) == "none") {
			t.Errorf("got %+v for %s", e, e.Data)
		}
	}
}

func TestScanTellsTheIDBeforeItsEvent(t *testing.T) {
	t.Parallel()
	last := ""
	opts := &sse.ScanOptions{OnID: func(id string) { last = id }}
	for e := range sse.Scan(strings.NewReader("id: 1\ndata: a\n\nid: 2\n\ndata: b\n\n"), opts) {
		if e.ID != last {
			t.Errorf("event %s has the id %q while OnID was told %q", e.Data, e.ID, last)
		}
	}
}

func TestScanTakesFiveMebibytes(t *testing.T) {
	t.Parallel()
	data := strings.Repeat("0123456789abcdef", 5<<20/16)
	for e, err := range sse.Scan(iotest.HalfReader(strings.NewReader("data: "+data+"\n\n")), nil) {
		if err != nil || string(e.Data) != data {
			t.Errorf("got %d bytes, %v", len(e.Data), err)
		}
	}
}

func TestScanNeedsNoHooks(t *testing.T) {
	t.Parallel()
	for range sse.Scan(strings.NewReader("retry: 1\nid: 1\n: c\n\n"), &sse.ScanOptions{}) {
		t.Error("an event came of nothing")
	}
}

func BenchmarkScan(b *testing.B) {
	for _, size := range eventSizes {
		b.Run(size.name, func(b *testing.B) {
			frame, _ := sse.AppendEvent(nil, sse.Event{ID: "k3j9x2ab.dh2k3j4l5m", Name: "orders", Data: []byte(size.data)})
			const frames = 100
			stream := bytes.Repeat(frame, frames)
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()
			events := 0
			for b.Loop() {
				for range sse.Scan(bytes.NewReader(stream), nil) {
					events++
				}
			}
			if events != b.N*frames {
				b.Errorf("%d events", events)
			}
			b.ReportMetric(float64(b.Elapsed())/float64(time.Nanosecond)/float64(events), "ns/event")
		})
	}
}
