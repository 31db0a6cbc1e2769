package load_test

import (
	"testing"
	"time"

	"github.com/buffkit/buffkit/bench/internal/load"
)

func TestHistogram(t *testing.T) {
	t.Parallel()
	h := load.NewHistogram()
	if h.Count() != 0 || h.Quantile(0.5) != 0 || h.Max() != 0 {
		t.Errorf("an empty one has %d, median %v, max %v", h.Count(), h.Quantile(0.5), h.Max())
	}
	for i := range 1000 {
		h.Record(time.Duration(i+1) * time.Millisecond)
	}
	other := load.NewHistogram()
	other.Record(-time.Second) // clocks of two processors may disagree by nanoseconds
	other.Record(50 * time.Hour)
	h.Add(other)
	if h.Count() != 1002 {
		t.Errorf("%d counted", h.Count())
	}
	for q, want := range map[float64]time.Duration{
		0.001: time.Microsecond, 0.5: 500 * time.Millisecond, 0.99: 991 * time.Millisecond, 1: time.Hour,
	} {
		if got := h.Quantile(q); got < want*998/1000 || got > want*1002/1000 {
			t.Errorf("quantile %v is %v, want about %v", q, got, want)
		}
	}
}
