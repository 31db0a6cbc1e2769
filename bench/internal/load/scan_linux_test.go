package load_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/bench/internal/event"
	"github.com/buffkit/buffkit/bench/internal/load"
)

const (
	chunkedHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
	plainHead   = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
)

func chunked(parts ...string) string {
	var b strings.Builder
	b.WriteString(chunkedHead)
	for _, p := range parts {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(p), p)
	}
	return b.String()
}

func payload(size int, number uint32) string {
	return string(event.New(size, int64(number)*1000, number))
}

func seen(number uint32, id string) load.Seen {
	return load.Seen{At: int64(number) * 1000, Number: number, ID: id}
}

func TestScan(t *testing.T) {
	t.Parallel()
	long := payload(3000, 9)
	tests := []struct {
		name   string
		stream string
		many   bool
		want   []load.Seen
		id     string
	}{
		{name: "nothing but headers", stream: chunkedHead},
		{
			name:   "an event a chunk",
			stream: chunked(": ok\n\n", "id: a\ndata: "+payload(40, 1)+"\n\n", "id: b\ndata: "+payload(40, 2)+"\n\n"),
			want:   []load.Seen{seen(1, "a"), seen(2, "b")}, id: "b",
		},
		{
			name:   "several events in a chunk",
			stream: chunked("id: a\ndata: " + payload(40, 1) + "\n\nid: b\ndata: " + payload(40, 2) + "\n\n"),
			want:   []load.Seen{seen(1, "a"), seen(2, "b")}, id: "b",
		},
		{
			name:   "an event in several chunks",
			stream: chunked("id", ": a\nda", "ta: "+payload(40, 1)[:11], payload(40, 1)[11:]+"\n", "\n"),
			want:   []load.Seen{seen(1, "a")}, id: "a",
		},
		{
			name:   "no chunks",
			stream: plainHead + "id: a\ndata: " + payload(40, 1) + "\n\n",
			want:   []load.Seen{seen(1, "a")}, id: "a",
		},
		{
			name:   "an event that is cut off doesn't count",
			stream: chunked("id: a\ndata: " + payload(40, 1) + "\n\nid: b\ndata: " + payload(40, 2) + "\n"),
			want:   []load.Seen{seen(1, "a")}, id: "a",
		},
		{
			name:   "an id without data moves on",
			stream: chunked("id: a\ndata: "+payload(40, 1)+"\n\n", "id: c\nevent: buffkit.ping\n\n"),
			want:   []load.Seen{seen(1, "a")}, id: "c",
		},
		{
			name:   "an id behind the data",
			stream: chunked("data: " + payload(40, 1) + "\nid: a\n\n"),
			want:   []load.Seen{seen(1, "a")}, id: "a",
		},
		{
			name:   "fields that don't matter",
			stream: chunked(": \"@0\nretry: 5\nevent: x\ndata: {\"state\":\"fresh\"}\n\n" + strings.Repeat("y", 2000) + "\ndata: " + payload(40, 1) + "\n\n"),
			want:   []load.Seen{seen(1, "")},
		},
		{
			name:   "a payload that is larger than what is held back",
			stream: chunked("id: a\ndata: " + long + "\n\ndata: " + payload(40, 2) + "\n\n"),
			want:   []load.Seen{seen(9, "a"), seen(2, "a")}, id: "a",
		},
		{
			name: "several events in a line", many: true,
			stream: chunked("\r\n", `data: {"connect":{"publications":[{"data":`+payload(400, 1)+`},{"data":`+payload(400, 2)+`},{"data":`+long+"}]}}\n\n"),
			want:   []load.Seen{seen(1, ""), seen(2, ""), seen(9, "")},
		},
		{
			name:   "a stream that ended",
			stream: chunked("data: "+payload(40, 1)+"\n\n") + "0\r\n\r\n" + "data: " + payload(40, 2) + "\n\n",
			want:   []load.Seen{seen(1, "")},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for size := range len(tt.stream) {
				parts := slices.Collect(slices.Chunk([]byte(tt.stream), size+1))
				got, head, id := load.Scan(tt.many, parts...)
				if !slices.Equal(got, tt.want) || id != tt.id {
					t.Fatalf("in parts of %d: got %v, id %q; want %v, %q", size+1, got, id, tt.want, tt.id)
				}
				if !strings.HasPrefix(head, "HTTP/1.1 200 OK\r\n") {
					t.Fatalf("in parts of %d: the headers are %q", size+1, head)
				}
			}
		})
	}
}

const gzipHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"

func TestScanGzip(t *testing.T) {
	t.Parallel()
	events := []string{": ok\n\n", "id: a\ndata: " + payload(400, 1) + "\n\n", "id: b\ndata: " + string(event.Fragment(1024, 2000, 2)) + "\n\n"}
	// A writer of its own for the connection.
	var private bytes.Buffer
	w := gzip.NewWriter(&private)
	var parts []string
	for _, e := range events {
		io.WriteString(w, e)
		w.Flush()
		parts = append(parts, private.String())
		private.Reset()
	}
	// A header, and then blocks that don't know of each other.
	shared := []string{"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"}
	for _, e := range events {
		var block bytes.Buffer
		w, err := flate.NewWriter(&block, flate.BestSpeed)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, e)
		w.Flush()
		shared = append(shared, block.String())
	}
	for name, parts := range map[string][]string{"private": parts, "shared": shared} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stream := strings.Replace(chunked(parts...), chunkedHead, gzipHead, 1)
			want := []load.Seen{seen(1, "a"), seen(2, "b")}
			for size := range len(stream) {
				if got, _, _ := load.Scan(false, slices.Collect(slices.Chunk([]byte(stream), size+1))...); !slices.Equal(got, want) {
					t.Fatalf("in parts of %d: got %v, want %v", size+1, got, want)
				}
			}
		})
	}
	broken := strings.Replace(chunked("no gzip, but more than its header takes"), chunkedHead, gzipHead, 1)
	if got, _, _ := load.Scan(false, []byte(broken)); len(got) > 0 {
		t.Errorf("what isn't gzip gave %v", got)
	}
}

// However a stream is cut into reads, the same events come of it.
func FuzzScan(f *testing.F) {
	f.Add([]byte(chunked("id: a\ndata: "+payload(40, 1)+"\n\n")), 7, false)
	f.Add([]byte(chunked(`data: {"a":`+payload(600, 1)+`,"b":`+payload(600, 2)+"}\n\n")), 100, true)
	f.Add([]byte(plainHead+"data: "+payload(800, 1)+"\n\n"), 1, false)
	f.Fuzz(func(t *testing.T, stream []byte, size int, many bool) {
		if size <= 0 || size > len(stream) {
			return
		}
		whole, head, id := load.Scan(many, stream)
		parts, partsHead, partsID := load.Scan(many, slices.Collect(slices.Chunk(stream, size))...)
		if many { // a line that is cut may tell its events sooner, but it tells the same
			slices.SortFunc(whole, func(a, b load.Seen) int { return int(a.Number) - int(b.Number) })
			slices.SortFunc(parts, func(a, b load.Seen) int { return int(a.Number) - int(b.Number) })
		}
		if !slices.Equal(whole, parts) || head != partsHead || id != partsID {
			t.Errorf("whole: %v, %q; in parts of %d: %v, %q", whole, id, size, parts, partsID)
		}
	})
}
