package sse_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/sse"
)

func TestAppendLeavesDstAloneOnError(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		event sse.Event
		want  string // in the error
	}{
		{"LF in the id", sse.Event{ID: "a\nb"}, "id has a LF at byte 1"},
		{"CR in the id", sse.Event{ID: "a\r"}, "id has a CR at byte 1"},
		{"NUL in the id", sse.Event{ID: "\x00"}, "id has a NUL at byte 0"},
		{"broken id", sse.Event{ID: "é\xff"}, "id isn't UTF-8 from byte 2"},
		{"LF in the name", sse.Event{ID: "1", Name: "a\n\ndata: forged"}, "name has a LF at byte 1"},
		{"CR in the name", sse.Event{ID: "1", Name: "a\rid: forged"}, "name has a CR at byte 1"},
		{"NUL in the name", sse.Event{Name: "abc\x00"}, "name has a NUL at byte 3"},
		{"broken name", sse.Event{Name: "\xc3"}, "name isn't UTF-8 from byte 0"},
		{"broken data", sse.Event{ID: "1", Data: []byte("a\ufffd\n\xe2\x82")}, "data isn't UTF-8 from byte 5"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := sse.AppendEvent([]byte("before"), test.event)
			if !errors.Is(err, sse.ErrInvalid) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one that says %q", err, test.want)
			}
			if string(got) != "before" {
				t.Errorf("dst is %q", got)
			}
		})
	}
}

func TestAppendComment(t *testing.T) {
	t.Parallel()
	if got, err := sse.AppendComment(nil, "ok"); err != nil || string(got) != ": ok\n\n" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, bad := range []string{"a\n", "a\rdata: x", "\x00", "\xff"} {
		if got, err := sse.AppendComment([]byte("before"), bad); !errors.Is(err, sse.ErrInvalid) || string(got) != "before" {
			t.Errorf("%q: got %q, %v", bad, got, err)
		}
	}
}

func TestAppendRetryWritesWholeMilliseconds(t *testing.T) {
	t.Parallel()
	tests := map[time.Duration]string{
		0:                            "retry: 0\n",
		-time.Second:                 "retry: 0\n",
		1999 * time.Microsecond:      "retry: 1\n",
		3 * time.Second:              "retry: 3000\n",
		time.Duration(math.MaxInt64): "retry: 9223372036854\n",
	}
	for d, want := range tests {
		if got := string(sse.AppendRetry(nil, d)); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

func TestAppendIDOfNothingIsNothing(t *testing.T) {
	t.Parallel()
	if got, err := sse.AppendID([]byte("before"), ""); err != nil || string(got) != "before" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestEncodingDoesNotAllocateIntoRoom(t *testing.T) {
	dst := make([]byte, 0, 4096)
	event := sse.Event{ID: "k3.7", Name: "orders", Data: []byte(strings.Repeat("a line\r\n", 100))}
	allocs := testing.AllocsPerRun(100, func() {
		out := sse.AppendRetry(dst, time.Second)
		out, _ = sse.AppendComment(out, "ok")
		if _, err := sse.AppendEvent(out, event); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

var eventSizes = []struct {
	name string
	data string
}{
	{"200B", strings.Repeat("x", 200)},
	{"html", strings.Repeat("<tr><td>7</td><td>open</td></tr>\n", 30)},
	{"64KiB", strings.Repeat("x", 64<<10)},
	{"CRLF", strings.Repeat("a line of text\r\n", 1000)},
}

func BenchmarkAppendEvent(b *testing.B) {
	for _, size := range eventSizes {
		b.Run(size.name, func(b *testing.B) {
			event := sse.Event{ID: "k3j9x2ab.dh2k3j4l5m", Name: "orders", Data: []byte(size.data)}
			dst, _ := sse.AppendEvent(nil, event)
			b.SetBytes(int64(len(size.data)))
			b.ReportAllocs()
			for b.Loop() {
				dst, _ = sse.AppendEvent(dst[:0], event)
			}
		})
	}
}
