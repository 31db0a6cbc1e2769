package sse_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/buffkit/buffkit/sse"
)

var update = flag.Bool("update", false, "rewrite the streams in testdata/encode")

// golden is the JSON half of a pair: testdata/README.md.
type golden struct {
	Events []goldenEvent `json:"events"`

	IDs      []string `json:"ids"`
	Retry    []int64  `json:"retry"`
	Comments []string `json:"comments"`
	Error    string   `json:"error"`

	LastEventID   string `json:"lastEventId"`
	MaxEventBytes int    `json:"maxEventBytes"`
}

type goldenEvent struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Data string `json:"data"`
}

func readGolden(t testing.TB, pattern string) map[string]golden {
	t.Helper()
	paths, err := filepath.Glob(filepath.FromSlash(pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files at %s: %v", pattern, err)
	}
	all := map[string]golden{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var g golden
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&g); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all[strings.TrimSuffix(path, ".json")] = g
	}
	return all
}

// scanAll returns what Scan makes of a reader, in the shape of a golden file.
func scanAll(t testing.TB, r io.Reader, lastEventID string, maxEventBytes int) golden {
	t.Helper()
	got := golden{LastEventID: lastEventID, MaxEventBytes: maxEventBytes}
	events := sse.Scan(r, &sse.ScanOptions{
		LastEventID:   lastEventID,
		MaxEventBytes: maxEventBytes,
		OnID:          func(id string) { got.IDs = append(got.IDs, id) },
		OnRetry:       func(d time.Duration) { got.Retry = append(got.Retry, d.Milliseconds()) },
		OnComment:     func(text string) { got.Comments = append(got.Comments, text) },
	})
	for e, err := range events {
		switch {
		case got.Error != "":
			t.Fatalf("something follows the error: %v, %v", e, err)
		case errors.Is(err, sse.ErrTooLarge):
			got.Error = "too_large"
		case err != nil:
			t.Fatal(err)
		default:
			got.Events = append(got.Events, goldenEvent{e.ID, e.Name, string(e.Data)})
		}
	}
	return got
}

// splits are the ways in which bytes arrive.
func splits(stream []byte) map[string]io.Reader {
	random := rand.New(rand.NewPCG(1, uint64(len(stream))))
	all := map[string]io.Reader{
		"whole":              bytes.NewReader(stream),
		"byte by byte":       iotest.OneByteReader(bytes.NewReader(stream)),
		"two by two":         chunked(stream, func() int { return 2 }),
		"halves":             iotest.HalfReader(bytes.NewReader(stream)),
		"the last with EOF":  iotest.DataErrReader(bytes.NewReader(stream)),
		"each byte with EOF": iotest.DataErrReader(iotest.OneByteReader(bytes.NewReader(stream))),
	}
	for i := range 10 {
		all[fmt.Sprint("random ", i)] = chunked(stream, func() int { return random.IntN(10) })
	}
	return all
}

// chunked reads the stream in pieces of the sizes given, of which some may be 0.
func chunked(stream []byte, size func() int) io.Reader {
	return readFunc(func(p []byte) (int, error) {
		if len(stream) == 0 {
			return 0, io.EOF
		}
		n := copy(p[:min(size(), len(p))], stream)
		stream = stream[n:]
		return n, nil
	})
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func TestScanGolden(t *testing.T) {
	t.Parallel()
	for path, want := range readGolden(t, "testdata/scan/*.json") {
		stream, err := os.ReadFile(path + ".stream")
		if err != nil {
			t.Fatal(err)
		}
		for how, r := range splits(stream) {
			t.Run(filepath.Base(path)+"/"+how, func(t *testing.T) {
				got := scanAll(t, r, want.LastEventID, want.MaxEventBytes)
				got.Events, want.Events = orEmpty(got.Events), orEmpty(want.Events)
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%.300q\n got %+.600v\nwant %+.600v", stream, got, want)
				}
			})
		}
	}
}

func TestEncodeGolden(t *testing.T) {
	t.Parallel()
	for path, g := range readGolden(t, "testdata/encode/*.json") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			var got []byte
			var arrive []goldenEvent
			for _, e := range g.Events {
				var err error
				if got, err = sse.AppendEvent(got, sse.Event{ID: e.ID, Name: e.Name, Data: []byte(e.Data)}); err != nil {
					t.Fatal(err)
				}
				e.Data = normalize(e.Data)
				if e.ID == "" && len(arrive) > 0 {
					e.ID = arrive[len(arrive)-1].ID
				}
				arrive = append(arrive, e)
			}
			if *update {
				if err := os.WriteFile(path+".stream", got, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path + ".stream")
			if err != nil {
				t.Fatalf("%v: run with -update", err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got\n%q\nwant\n%q", got, want)
			}
			if back := scanAll(t, bytes.NewReader(want), "", 0).Events; !reflect.DeepEqual(back, arrive) {
				t.Errorf("reads back as\n%q\nwant\n%q", back, arrive)
			}
		})
	}
}

func orEmpty(s []goldenEvent) []goldenEvent {
	if s == nil {
		return []goldenEvent{}
	}
	return s
}

// normalize makes of a text what arrives of it.
func normalize(text string) string {
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
}
