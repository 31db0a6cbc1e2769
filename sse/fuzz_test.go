package sse_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/buffkit/buffkit/sse"
)

// However the bytes arrive, the events are those of the standard's words taken literally, and no more than what came in.
func FuzzScan(f *testing.F) {
	paths, _ := filepath.Glob("testdata/*/*.stream")
	for _, path := range paths {
		stream, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(stream, []byte{1, 3, 2}, uint16(0))
		f.Add(stream, []byte{0, 9}, uint16(8))
	}
	f.Fuzz(func(t *testing.T, stream, sizes []byte, limit uint16) {
		whole := scanAll(t, bytes.NewReader(stream), "before", int(limit))
		next := 0
		split := chunked(stream, func() int {
			if len(sizes) == 0 {
				return 1
			}
			next++
			if next%50 == 0 {
				return 1 // sizes of 0 alone would be no progress
			}
			return int(sizes[next%len(sizes)])
		})
		for how, r := range map[string]io.Reader{"byte by byte": iotest.OneByteReader(bytes.NewReader(stream)), "split": split} {
			if got := scanAll(t, r, "before", int(limit)); !reflect.DeepEqual(got, whole) {
				t.Errorf("%s\n got %+v\nwant %+v", how, got, whole)
			}
		}
		if whole.Error == "" {
			if want := reference(stream, "before"); !reflect.DeepEqual(whole.Events, want) {
				t.Errorf("got\n%q\nthe standard says\n%q", whole.Events, want)
			}
		}
		for _, e := range whole.Events {
			if n := len(e.ID) + len(e.Name) + len(e.Data); limit > 0 && n > int(limit) {
				t.Errorf("an event of %d bytes passed the limit of %d", n, limit)
			}
		}
	})
}

// reference is the standard's interpretation of an event stream, word for word and slow, over the whole text at once.
func reference(stream []byte, lastEventID string) (events []goldenEvent) {
	text := strings.TrimPrefix(decode(stream), "\ufeff")
	lines := strings.Split(normalize(text), "\n")
	idBuffer := lastEventID
	var data, event string
	for _, line := range lines[:len(lines)-1] {
		if line == "" {
			if data != "" {
				events = append(events, goldenEvent{idBuffer, event, strings.TrimSuffix(data, "\n")})
			}
			data, event = "", ""
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "data":
			data += value + "\n"
		case "event":
			event = value
		case "id":
			if !strings.Contains(value, "\x00") {
				idBuffer = value
			}
		}
	}
	return events
}

// decode is the standard's UTF-8 decoder, as the state machine that it is described by.
func decode(b []byte) string {
	var out strings.Builder
	var point rune
	needed, low, high := 0, byte(0x80), byte(0xBF)
	for i := 0; i < len(b); i++ {
		c := b[i]
		if needed > 0 {
			if c < low || c > high {
				out.WriteRune(utf8.RuneError)
				needed, low, high = 0, 0x80, 0xBF
				i-- // again, as a first byte
				continue
			}
			low, high = 0x80, 0xBF
			point = point<<6 | rune(c&0x3F)
			if needed--; needed == 0 {
				out.WriteRune(point)
			}
			continue
		}
		switch {
		case c < 0x80:
			out.WriteByte(c)
		case c >= 0xC2 && c <= 0xDF:
			needed, point = 1, rune(c&0x1F)
		case c >= 0xE0 && c <= 0xEF:
			needed, point = 2, rune(c&0xF)
			if c == 0xE0 {
				low = 0xA0
			} else if c == 0xED {
				high = 0x9F
			}
		case c >= 0xF0 && c <= 0xF4:
			needed, point = 3, rune(c&0x7)
			if c == 0xF0 {
				low = 0x90
			} else if c == 0xF4 {
				high = 0x8F
			}
		default:
			out.WriteRune(utf8.RuneError)
		}
	}
	return out.String() // what breaks off at the end is in no complete line
}

// What AppendEvent takes arrives as it was, but for line ends; what can't is refused.
func FuzzRoundTrip(f *testing.F) {
	f.Add("k3.7", "orders", []byte("one\ntwo"))
	f.Add("", "", []byte("\r\n\rid: 3\n\n"))
	f.Add(" x", "\ufeff", []byte("\xff"))
	f.Fuzz(func(t *testing.T, id, name string, data []byte) {
		frame, err := sse.AppendEvent([]byte("data: before\n\n"), sse.Event{ID: id, Name: name, Data: data})
		valid := sse.ValidID(id) == nil && sse.ValidName(name) == nil && utf8.Valid(data)
		if (err == nil) != valid {
			t.Fatalf("valid %v, but the error is %v", valid, err)
		}
		if err != nil {
			return
		}
		got := scanAll(t, bytes.NewReader(frame), "", 0).Events
		want := []goldenEvent{{Data: "before"}, {id, name, normalize(string(data))}}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// Nothing in an event can write a line of another kind than its own, or end the frame early.
func FuzzAppendBody(f *testing.F) {
	f.Add("orders", []byte("one\ntwo"))
	f.Add("", []byte("a\r\n\r\nid: 1\revent: x"))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		body, err := sse.AppendBody(nil, name, data)
		if err != nil {
			return
		}
		if len(body) != sse.BodySize(name, data) {
			t.Errorf("%d bytes, but BodySize says %d", len(body), sse.BodySize(name, data))
		}
		if bytes.IndexByte(body, '\r') >= 0 {
			t.Errorf("a CR in %q", body)
		}
		lines, whole := strings.CutSuffix(string(body), "\n\n")
		if !whole {
			t.Fatalf("no empty line at the end of %q", body)
		}
		for i, line := range strings.Split(lines, "\n") {
			isName := i == 0 && name != "" && line == "event: "+name
			if !isName && !strings.HasPrefix(line, "data: ") {
				t.Errorf("line %d of %q", i, body)
			}
		}
	})
}
