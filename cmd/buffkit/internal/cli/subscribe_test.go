package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func publish(t *testing.T, target string, data ...string) {
	t.Helper()
	run(t, "", append([]string{"publish", "--url", target, "--topic", "news", "--"}, data...)...).want(t, 0)
}

func subscribe(t *testing.T, target string, args ...string) *process {
	t.Helper()
	return begin(t, strings.NewReader(""), append([]string{"subscribe", "--url", target, "--topic", "news"}, args...)...)
}

func TestSubscribePrintsEventsAsTheyCome(t *testing.T) {
	t.Parallel()
	target, _ := newHub(t, nil)
	p := subscribe(t, target)
	p.stderr.await(t, "open: the stream starts now")
	publish(t, target, "one", "two\nlines", "")
	p.stdout.await(t, "one\ntwo\nlines\n\n")
	p.interrupt().want(t, 0)
}

func TestSubscribeInJSON(t *testing.T) {
	t.Parallel()
	target, _ := newHub(t, nil)
	p := subscribe(t, target, "--json", "-n", "2")
	p.stderr.await(t, "open")
	run(t, "", "publish", "--url", target, "--topic", "news", "--event", "headline", "two\n<b>lines</b>").want(t, 0)
	publish(t, target, "b", "after the count")
	r := p.wait()
	r.want(t, 0)
	var events []struct{ ID, Event, Data string }
	for _, line := range r.lines() {
		var e struct{ ID, Event, Data string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		events = append(events, e)
	}
	if len(events) != 2 || events[0].Event != "headline" || events[0].Data != "two\n<b>lines</b>" || events[0].ID == "" || events[1].Data != "b" {
		t.Errorf("got %+v", events)
	}
}

func TestSubscribeResumesAndNeverPrintsTwice(t *testing.T) {
	t.Parallel()
	hub, _ := newHub(t, nil)
	wire := newWire(t, hub)
	p := subscribe(t, wire.url)
	p.stderr.await(t, "open: the stream starts now")
	var want []string
	for i := range 5 {
		during, away := fmt.Sprint("during ", i), fmt.Sprint("away ", i)
		want = append(want, during, away)
		publish(t, hub, during)
		p.stdout.await(t, during)
		wire.cut()
		publish(t, hub, away)
		p.stdout.await(t, away)
	}
	r := p.interrupt()
	r.want(t, 0, "cut: ", "open: resumed, 1 stored events follow")
	if !slices.Equal(r.lines(), want) {
		t.Errorf("printed %q, want %q", r.lines(), want)
	}
}

func TestSubscribeTellsGaps(t *testing.T) {
	t.Parallel()
	_, target := serve(t, "--insecure", "--retain-events", "2")
	publish(t, target, "1")
	first := run(t, "", "publish", "--url", target, "--topic", "news", "2").lines()[0]
	publish(t, target, "3", "4", "5")
	for cursor, reason := range map[string]string{first: "trimmed", "zzzz.1": "other_log"} {
		p := subscribe(t, target, "--cursor", cursor)
		p.stderr.await(t, `gap: events of "news" are lost (`+reason+")")
		r := p.interrupt()
		r.want(t, 0)
		if strings.Contains(r.stderr, "~") {
			t.Errorf("it tells of the broker's own topics: %q", r.stderr)
		}
	}
}

func TestSubscribeKeepsItsPlaceOverRestarts(t *testing.T) {
	t.Parallel()
	target, _ := newHub(t, nil)
	state := filepath.Join(t.TempDir(), "state")

	p := subscribe(t, target, "--state", state)
	until(t, "a place before the first event", func() bool {
		text, err := os.ReadFile(state)
		return err == nil && len(text) > 0
	})
	p.interrupt().want(t, 0, "open: the stream starts now")

	publish(t, target, "1", "2", "3")
	for _, run := range []struct{ count, printed, open string }{
		{"2", "1\n2\n", "open: resumed, 3 stored events follow"},
		{"1", "3\n", "open: resumed, 1 stored events follow"},
	} {
		r := subscribe(t, target, "--state", state, "-n", run.count).wait()
		r.want(t, 0, run.open)
		if r.stdout != run.printed {
			t.Errorf("printed %q, want %q", r.stdout, run.printed)
		}
	}
}

func TestAStateFileThatIsNone(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "state")
	for _, text := range []string{"my diary", "\nk.1\n", strings.Repeat("a", 5000)} {
		if err := os.WriteFile(state, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, "", "subscribe", "--topic", "news", "--state", state).want(t, 1, state, "delete it")
		if readFile(t, state) != text {
			t.Error("it was changed")
		}
	}
	run(t, "", "subscribe", "--topic", "news", "--state", filepath.Join(state, "x")).want(t, 1, "--state")
}
