package integration

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// serve starts a hub that anybody may use, on an address of its own or a given one.
func serve(t *testing.T, addr string) (hub *program, url string) {
	t.Helper()
	if addr == "" {
		addr = net.JoinHostPort(ownHost(), "0")
	}
	hub = run(t, "serve", "--insecure", "--log", "memory", "--addr", addr, "--retry", retry.String(), "--drain-window", retry.String())
	return hub, strings.TrimPrefix(awaitLine(t, &hub.out, "buffkit serves "), "buffkit serves ")
}

func TestTheProgramFromEndToEnd(t *testing.T) {
	t.Parallel()
	_, url := serve(t, "")
	sub := run(t, "subscribe", "--url", url, "--topic", topic)
	awaitLine(t, &sub.err, "open: the stream starts now")
	curl := startCurl(t, url+"/events?topic="+topic)
	curl.awaitFrames(t, 3)

	pub := run(t, "publish", "--url", url, "--topic", topic)
	for n := 1; n <= 3; n++ { // a line that is written leaves at once
		fmt.Fprintf(pub.in, "line %d\n", n)
		awaitLine(t, &sub.out, fmt.Sprintf("line %d", n))
		frame := curl.awaitFrames(t, 3+n)[2+n]
		ids := pub.out.await(t, "its id", func(ids []string) bool { return len(ids) == n })
		if field(frame, "data") != fmt.Sprintf("line %d", n) || field(frame, "id") != ids[n-1] {
			t.Errorf("curl got %q, publish printed %q", frame, ids)
		}
	}
	pub.in.Close()
	if err := pub.wait(); err != nil {
		t.Errorf("publish: %v", err)
	}
	if err := sub.kill(syscall.SIGTERM); err != nil {
		t.Errorf("subscribe, stopped: %v, want exit code 0", err)
	}
}

func TestASubscriberKilledInTheMidstGoesOnWithItsState(t *testing.T) {
	t.Parallel()
	const last, most = 4000, 1 // most: events that may be printed again, by the promise of --state
	_, url := serve(t, "")
	state := filepath.Join(t.TempDir(), "news.cursor")
	subscribe := func() *program { return run(t, "subscribe", "--url", url, "--topic", topic, "--state", state) }

	first := subscribe()
	awaitLine(t, &first.err, "open: the stream starts now")
	pub := run(t, "publish", "--url", url, "--topic", topic)
	go func() {
		defer pub.in.Close()
		for n := 1; n <= last; n++ {
			fmt.Fprintln(pub.in, n)
		}
	}()
	awaitLine(t, &first.out, strconv.Itoa(last/10))
	first.kill(syscall.SIGKILL)

	second := subscribe()
	second.out.await(t, "the last event", func(lines []string) bool { return slices.Contains(lines, strconv.Itoa(last)) })
	if err := pub.wait(); err != nil {
		t.Errorf("publish: %v", err)
	}
	before, after := first.out.all(), second.out.all()
	if !slices.Equal(before, numbers(1, len(before))) {
		t.Fatalf("the first printed %d lines, not from 1 to there", len(before))
	}
	from, _ := strconv.Atoi(after[0])
	if !slices.Equal(after, numbers(from, last)) {
		t.Fatalf("the second began with %d and printed %d lines, not from there to %d", from, len(after), last)
	}
	if again := len(before) + 1 - from; again < 0 || again > most {
		t.Errorf("the first ended with %d, the second began with %d", len(before), from)
	}
	awaitLine(t, &second.err, "open: resumed")
	t.Logf("killed after %d events, went on with %d", len(before), from)
}

func TestAHubThatEndsIsFoundAgain(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		signal syscall.Signal
		exit   string
		told   string
	}{
		{"by SIGTERM", syscall.SIGTERM, "", "draining"},
		{"by kill -9", syscall.SIGKILL, "signal: killed", "cut: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			hub, url := serve(t, "")
			sub := run(t, "subscribe", "--url", url, "--topic", topic)
			awaitLine(t, &sub.err, "open: the stream starts now")
			pub := run(t, "publish", "--url", url, "--topic", topic)
			publish := func(first, last int) {
				for n := first; n <= last; n++ {
					fmt.Fprintln(pub.in, n)
				}
				sub.out.await(t, fmt.Sprintf("event %d", last), func(lines []string) bool { return slices.Equal(lines, numbers(1, last)) })
				// Whose answer is lost with the hub is published to the next again, and that one's memory knows no repeats.
				pub.out.await(t, "all ids", func(ids []string) bool { return len(ids) == last })
			}
			publish(1, 200)

			exit := ""
			if err := hub.kill(tt.signal); err != nil {
				exit = err.Error()
			}
			if exit != tt.exit {
				t.Errorf("the hub ended with %q, want %q", exit, tt.exit)
			}
			awaitLine(t, &sub.err, tt.told)

			serve(t, strings.TrimPrefix(url, "http://"))
			awaitLine(t, &sub.err, `gap: events of "news" are lost (other_log)`)
			publish(201, 400) // the publisher finds the hub again, too
			pub.in.Close()
			if err := pub.wait(); err != nil {
				t.Errorf("publish: %v", err)
			}
		})
	}
}
