package plot_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/bench/internal/plot"
)

func plain(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

func TestSVG(t *testing.T) {
	t.Parallel()
	linear, logarithmic := plot.Axis{Title: "x", Format: plain}, plot.Axis{Title: "y", Log: true, Format: plain}
	tests := []struct {
		name   string
		lines  []plot.Line
		points int // drawn
	}{
		{"nothing", nil, 0},
		{"one point", []plot.Line{{Name: "a", Points: []plot.Point{{X: 1, Y: 1}}}}, 1},
		{"two lines", []plot.Line{
			{Name: "a <&> b", Points: []plot.Point{{X: 1, Y: 1}, {X: 100, Y: 20}}},
			{Name: "c", Dashed: true, Points: []plot.Point{{X: 1, Y: 3}, {X: 100, Y: 0.001}}},
		}, 4},
		{"what a logarithm doesn't have", []plot.Line{{Name: "a", Points: []plot.Point{{X: 1, Y: 0}, {X: 2, Y: -1}, {X: 3, Y: math.NaN()}, {X: 4, Y: 5}}}}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			svg := plot.Chart{Title: "a chart", X: linear, Y: logarithmic, Lines: tt.lines}.SVG()
			if bytes.Contains(svg, []byte("NaN")) || bytes.Contains(svg, []byte("Inf")) {
				t.Errorf("it has values that can't be drawn:\n%s", svg)
			}
			if n := bytes.Count(svg, []byte("<circle")); n != tt.points {
				t.Errorf("%d points drawn, want %d", n, tt.points)
			}
			for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
				_, err := d.Token()
				if errors.Is(err, io.EOF) {
					return
				}
				if err != nil {
					t.Fatalf("not XML: %v\n%s", err, svg)
				}
			}
		})
	}
}

func TestZeroHasAPlaceOnALogarithmicAxis(t *testing.T) {
	t.Parallel()
	svg := string(plot.Chart{
		X:     plot.Axis{Log: true, Format: plain},
		Y:     plot.Axis{Log: true, Format: plain},
		Lines: []plot.Line{{Points: []plot.Point{{X: 0, Y: 1}, {X: 10, Y: 2}, {X: 1000, Y: 5}}}},
	}.SVG())
	if n := strings.Count(svg, "<circle"); n != 3 {
		t.Errorf("%d points drawn, want 3", n)
	}
	if !strings.Contains(svg, `text-anchor="middle">0<`) {
		t.Error("no tick for 0")
	}
}

func TestBars(t *testing.T) {
	t.Parallel()
	svg := plot.Bars{Title: "a <&> b", Format: plain, Bars: []plot.Bar{
		{Name: "short", Value: 4}, {Name: strings.Repeat("long/", 30) + "end", Value: 2}, {Name: "none", Value: 0},
	}}.SVG()
	var v struct {
		Rects []struct {
			Width float64 `xml:"width,attr"`
		} `xml:"rect"`
	}
	if err := xml.Unmarshal(svg, &v); err != nil {
		t.Fatalf("not XML: %v\n%s", err, svg)
	}
	if len(v.Rects) != 3 || v.Rects[0].Width != 2*v.Rects[1].Width || v.Rects[2].Width != 0 {
		t.Errorf("the bars are %v", v.Rects)
	}
	if none := (plot.Bars{Format: plain}).SVG(); bytes.Contains(none, []byte("NaN")) {
		t.Errorf("without bars:\n%s", none)
	}
}

func TestTicksAreRound(t *testing.T) {
	t.Parallel()
	svg := string(plot.Chart{
		X:     plot.Axis{Log: true, Format: plain},
		Y:     plot.Axis{Format: plain},
		Lines: []plot.Line{{Points: []plot.Point{{X: 1, Y: 0.1}, {X: 100_000, Y: 1}}}},
	}.SVG())
	for _, want := range []string{">1<", ">10<", ">100000<", ">0<", ">0.5<", ">1<"} {
		if !strings.Contains(svg, want) {
			t.Errorf("no tick %s", want)
		}
	}
}
