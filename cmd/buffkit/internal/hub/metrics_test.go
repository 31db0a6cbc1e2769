package hub_test

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/hub"
	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

func TestMetricsCountStreams(t *testing.T) {
	t.Parallel()
	parks := 0
	if runtime.GOOS == "linux" {
		parks = 1
	}
	tests := []struct {
		name    string
		parking push.Parking
		parked  int // of each stream
	}{
		{"that park", push.ParkAuto, parks},
		{"that don't", push.ParkNever, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := start(t, false, &hub.Options{Push: push.Options{Parking: tt.parking}}, nil)
			awaitMetrics(t, b, 0, 0, 0)
			first, second := b.stream("topic=news"), b.stream("topic=news")
			first.open("fresh")
			second.open("fresh")
			awaitMetrics(t, b, 2, 2*tt.parked, 2)
			first.close()
			awaitMetrics(t, b, 1, tt.parked, 2)
		})
	}
}

// awaitMetrics waits for what nobody tells: that a stream was parked, and that its client has left.
func awaitMetrics(t *testing.T, b *bundle, connections, parked, sessions int) {
	t.Helper()
	want := fmt.Sprintf("# TYPE buffkit_connections gauge\nbuffkit_connections %d\n", connections) +
		fmt.Sprintf("# HELP buffkit_connections_parked Open streams that hold no goroutine.\n"+
			"# TYPE buffkit_connections_parked gauge\nbuffkit_connections_parked %d\n", parked) +
		fmt.Sprintf("# HELP buffkit_sessions Sessions, connected or not.\n# TYPE buffkit_sessions gauge\nbuffkit_sessions %d\n", sessions)
	b.awaitMetric(want, nil)
}

// awaitMetric waits until the metrics have the text.
func (b *bundle) awaitMetric(want string, headers []string) {
	b.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		a := b.do("GET", "/metrics", "", headers...)
		if a.status != 200 || a.header.Get("Content-Type") != "text/plain; version=0.0.4; charset=utf-8" {
			b.t.Fatalf("%d %q", a.status, a.header)
		}
		if strings.Contains(a.body, want) {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("got\n%s\nwant\n%s", a.body, want)
		}
	}
}

// Each log tells what it can of itself, in lines that Prometheus reads.
func TestMetricsTellOfTheLog(t *testing.T) {
	t.Parallel()
	const memory, followed = "buffkit_log_topics buffkit_log_events buffkit_log_bytes", " buffkit_log_down buffkit_log_lag_seconds buffkit_log_ranges_total"
	for name, tt := range map[string]struct {
		newLog newLog
		want   string
	}{
		"in memory": {newMemory, memory},
		"followed":  {newSQLite, memory + followed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := node(t, tt.newLog(t, eventlog.Retention{}))
			b.publish("news", "x")
			var names []string
			for line := range strings.Lines(b.do("GET", "/metrics", "").body) {
				if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
					names = append(names, name)
					if _, err := strconv.ParseFloat(value, 64); err != nil || name == "buffkit_log_events" && value != "1" {
						t.Errorf("%q", line)
					}
				}
			}
			if got := strings.Join(names, " "); got != "buffkit_connections buffkit_connections_parked buffkit_sessions buffkit_sessions_down "+tt.want {
				t.Errorf("there are %s", got)
			}
		})
	}
}

func TestMetricsAskForAnyToken(t *testing.T) {
	t.Parallel()
	b, other := start(t, true, nil, nil), start(t, true, nil, nil)
	b.do("GET", "/metrics", "").want(t, 401, "unauthorized", "access_token")
	b.do("GET", "/metrics", "", "Authorization", "Bearer "+other.token("*", "*")).want(t, 401, "access_invalid", "")
	if a := b.do("GET", "/metrics", "", "Authorization", "Bearer "+b.token("nothing", "")); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
}
