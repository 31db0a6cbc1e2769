package event_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/buffkit/buffkit/bench/internal/event"
)

func TestAPayloadComesBack(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, event.MinSize, 200, 64 << 10} {
		p := event.New(size, 1234567890123456789, 4000000000)
		if len(p) != max(size, event.MinSize) {
			t.Errorf("%d bytes asked for, %d made", size, len(p))
		}
		at, number, ok := event.Parse(p[len(event.Mark):])
		if !ok || at != 1234567890123456789 || number != 4000000000 {
			t.Errorf("size %d: got %d, %d, %v", size, at, number, ok)
		}
		if !json.Valid(p) {
			t.Errorf("size %d: not JSON: %.64s", size, p)
		}
	}
}

func TestAFragmentComesBack(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for number := range uint32(100) {
		p := event.Fragment(1024, 1234567890123456789, number)
		if len(p) != 1024 {
			t.Fatalf("%d bytes", len(p))
		}
		i := bytes.Index(p, []byte(event.Mark))
		at, got, ok := event.Parse(p[i+len(event.Mark):])
		if !ok || at != 1234567890123456789 || got != number || bytes.ContainsAny(p, "\r\n") {
			t.Fatalf("got %d, %d, %v of %s", at, got, ok, p)
		}
		if again := event.Fragment(1024, 1234567890123456789, number); !bytes.Equal(p, again) {
			t.Fatalf("two of the same number differ:\n%s\n%s", p, again)
		}
		seen[string(p[i+len(event.Mark)+event.Digits:])] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d different ones of 100", len(seen))
	}
	if p := event.Fragment(0, 1, 2); !bytes.HasSuffix(p, []byte("</article>")) {
		t.Errorf("the smallest is %s", p)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "0123", "0123456789abcdef0123456", "0123456789abcdefg1234567", "0123456789ABCDEF01234567"} {
		if _, _, ok := event.Parse([]byte(text)); ok {
			t.Errorf("took %q", text)
		}
	}
}

func TestSleepUntilIsNeverEarly(t *testing.T) {
	t.Parallel()
	for range 10 {
		at := event.Now() + 100_000
		event.SleepUntil(at)
		if now := event.Now(); now < at-1000 { // a microsecond: the two clocks were read one after the other
			t.Errorf("%d ns early", at-now)
		}
	}
}
