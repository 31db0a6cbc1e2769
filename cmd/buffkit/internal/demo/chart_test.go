package demo_test

import (
	"testing"
	"time"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/demo"
)

func TestDraw(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	at := func(secondsAgo float64, value float64) demo.Point {
		return demo.NewPoint(now.Add(-time.Duration(secondsAgo*float64(time.Second))), value)
	}
	tests := []struct {
		name       string
		points     []demo.Point
		line, area string
	}{
		{"nothing", nil, "", ""},
		{"one", []demo.Point{at(0, 25)}, "M1200 75", "M1200 75L1200 100L1200 100Z"},
		{"a second is ten units", []demo.Point{at(2, 0), at(1, 50), at(0, 100)},
			"M1180 100L1190 50L1200 0", "M1180 100L1190 50L1200 0L1200 100L1180 100Z"},
		{"old points are left out", []demo.Point{at(121, 9), at(120, 0)}, "M0 100", "M0 100L0 100L0 100Z"},
		{"what is over the top is cut off", []demo.Point{at(1, -5), at(0, 500)}, "M1190 100L1200 0", "M1190 100L1200 0L1200 100L1190 100Z"},
		{"a sleep is a hole", []demo.Point{at(20, 50), at(19, 50), at(1, 50), at(0, 50)},
			"M1000 50L1010 50M1190 50L1200 50",
			"M1000 50L1010 50L1010 100L1000 100ZM1190 50L1200 50L1200 100L1190 100Z"},
		{"to a tenth of a unit", []demo.Point{at(0.123, 33.333)}, "M1198.8 66.7", "M1198.8 66.7L1198.8 100L1198.8 100Z"},
	}
	for _, test := range tests {
		line, area := demo.Draw("a", now, 100, test.points).Curve()
		if line != test.line || area != test.area {
			t.Errorf("%s: got %q and %q", test.name, line, area)
		}
	}
}

func TestRoundUp(t *testing.T) {
	t.Parallel()
	for value, want := range map[float64]float64{0: 10, 10: 10, 11: 20, 20: 20, 21: 50, 99: 100, 501: 1000} {
		if got := demo.RoundUp(value, 10); got != want {
			t.Errorf("%v: got %v, want %v", value, got, want)
		}
	}
}

func TestBytesText(t *testing.T) {
	t.Parallel()
	for n, want := range map[float64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 99_900: "99.9 kB", 512_000: "512 kB", 25.3e9: "25.3 GB", 7e15: "7000 TB",
	} {
		if got := demo.BytesText(n); got != want {
			t.Errorf("%v: got %q, want %q", n, got, want)
		}
	}
}
