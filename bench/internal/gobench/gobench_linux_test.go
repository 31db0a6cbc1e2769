package gobench_test

import (
	"maps"
	"testing"

	"github.com/buffkit/buffkit/bench/internal/gobench"
)

const said = `goos: linux
goarch: amd64
pkg: github.com/buffkit/buffkit/push
cpu: Intel(R) Xeon(R) Processor
BenchmarkPublishToSubscribers/subscribers=10000-2         	   57120	     20731 ns/op	       312.5 B/subscriber	         0.001 allocs/delivery	        57.62 ns/delivery
BenchmarkPublishToSubscribers/subscribers=1000000-2       	 2000000	       601 ns/op	1.5e+02 B/subscriber	 0 allocs/delivery	 60.1 ns/delivery
BenchmarkDelivery/parked
    park_test.go:12: a word of its own
BenchmarkDelivery/parked                                  	     100	        11 ns/op	         0 allocs/delivery
PASS
ok  	github.com/buffkit/buffkit/push	4.321s
`

func TestParse(t *testing.T) {
	t.Parallel()
	want := []gobench.Result{
		{"BenchmarkPublishToSubscribers/subscribers=10000", map[string]float64{
			"ns/op": 20731, "B/subscriber": 312.5, "allocs/delivery": 0.001, "ns/delivery": 57.62,
		}},
		{"BenchmarkPublishToSubscribers/subscribers=1000000", map[string]float64{
			"ns/op": 601, "B/subscriber": 150, "allocs/delivery": 0, "ns/delivery": 60.1,
		}},
		{"BenchmarkDelivery/parked", map[string]float64{"ns/op": 11, "allocs/delivery": 0}},
	}
	got := gobench.Parse(said)
	if len(got) != len(want) {
		t.Fatalf("%d results, want %d: %v", len(got), len(want), got)
	}
	for i, w := range want {
		if got[i].Name != w.Name || !maps.Equal(got[i].Metrics, w.Metrics) {
			t.Errorf("got %v, want %v", got[i], w)
		}
	}
	if more := gobench.Parse("PASS\nok  \tpush\t0.1s\n"); len(more) != 0 {
		t.Errorf("nothing was run, and it found %v", more)
	}
}
