// Package plot draws lines over a sweep as SVG, readable on light and dark pages.
package plot

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"slices"
)

// Axis says how values stand on an axis. On a logarithmic one, values must be above 0, and others aren't drawn; but a 0 on the X axis
// has a place of its own on the left.
type Axis struct {
	Title  string
	Log    bool
	Format func(float64) string
}

// Point is a value over a point of the sweep.
type Point struct{ X, Y float64 }

// Line is the points of one server.
type Line struct {
	Name   string
	Points []Point
	Colour int // a number: the same one looks the same in all charts
	Dashed bool
}

// Chart is one picture.
type Chart struct {
	Title string
	X, Y  Axis
	Lines []Line
}

const (
	width, height = 860, 420
	left, right   = 80, 240 // the legend stands on the right
	top, bottom   = 40, 60
	zeroWidth     = 60
)

// colours that can be told apart, also without seeing red or green (Okabe and Ito 2008, and two more).
var colours = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#7f7f7f", "#999933", "#332288"}

const style = `<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 15px }
.grid { stroke: #d0d7de; stroke-width: 1 }
.line { fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .grid { stroke: #3d444d } }
</style>
`

// SVG draws the chart.
func (c Chart) SVG() []byte {
	xs := c.values(func(p Point) float64 { return p.X })
	x, y := newScale(c.X, left, width-right, xs), newScale(c.Y, height-bottom, top, c.values(func(p Point) float64 { return p.Y }))
	if c.X.Log && slices.Contains(xs, 0) {
		x.zero, x.from = left, left+zeroWidth
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n", width, height, escape(c.Title))
	b.WriteString(style)
	fmt.Fprintf(&b, `<text class="title" x="%d" y="22">%s</text>`+"\n", left, escape(c.Title))
	for _, v := range x.ticks() {
		at := x.at(v)
		fmt.Fprintf(&b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`+"\n", at, at, top, height-bottom)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", at, height-bottom+18, escape(c.X.Format(v)))
	}
	for _, v := range y.ticks() {
		at := y.at(v)
		fmt.Fprintf(&b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`+"\n", left, width-right, at, at)
		fmt.Fprintf(&b, `<text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", left-6, at+4, escape(c.Y.Format(v)))
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", (left+width-right)/2, height-bottom+42, escape(c.X.Title))
	for i, l := range slices.Backward(c.Lines) { // the first lies above the others
		c.draw(&b, i, l, x, y)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func (c Chart) draw(b *bytes.Buffer, i int, l Line, x, y scale) {
	colour, dash := colours[l.Colour%len(colours)], ""
	if l.Dashed {
		dash = ` stroke-dasharray="6 4"`
	}
	var path bytes.Buffer
	for _, p := range l.Points {
		if !x.shows(p.X) || !y.shows(p.Y) {
			continue
		}
		fmt.Fprintf(&path, "%.1f,%.1f ", x.at(p.X), y.at(p.Y))
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"><title>%s: %s at %s</title></circle>`+"\n",
			x.at(p.X), y.at(p.Y), colour, escape(l.Name), escape(c.Y.Format(p.Y)), escape(c.X.Format(p.X)))
	}
	fmt.Fprintf(b, `<polyline class="line" stroke="%s"%s points="%s"/>`+"\n", colour, dash, bytes.TrimSpace(path.Bytes()))
	at := top + 8 + 22*i
	fmt.Fprintf(b, `<line class="line" stroke="%s"%s x1="%d" x2="%d" y1="%d" y2="%d"/>`+"\n", colour, dash, width-right+16, width-right+40, at, at)
	fmt.Fprintf(b, `<text x="%d" y="%d">%s</text>`+"\n", width-right+46, at+4, escape(l.Name))
}

func (c Chart) values(of func(Point) float64) (all []float64) {
	for _, l := range c.Lines {
		for _, p := range l.Points {
			all = append(all, of(p))
		}
	}
	return all
}

func escape(text string) string {
	var b bytes.Buffer
	xml.EscapeText(&b, []byte(text)) // a Buffer takes everything
	return b.String()
}

// scale maps values to places.
type scale struct {
	axis      Axis
	low, high float64
	from, to  float64
	zero      float64 // where 0 is, on a logarithmic axis that has it; 0 if it hasn't
}

func newScale(axis Axis, from, to float64, values []float64) scale {
	s := scale{axis: axis, from: from, to: to}
	values = slices.DeleteFunc(values, func(v float64) bool { return !s.shows(v) })
	switch {
	case len(values) == 0:
		s.low, s.high = 1, 10
	case axis.Log:
		s.low, s.high = outwards(slices.Min(values), slices.Max(values))
	default:
		s.low, s.high = min(0, slices.Min(values)), slices.Max(values)
	}
	if s.low == s.high {
		s.high = 2*s.low + 1
	}
	return s
}

// outwards returns the values of 1, 2 and 5 times a power of ten that enclose low and high.
func outwards(low, high float64) (below, above float64) {
	below, above = math.Inf(-1), math.Inf(1)
	for power := math.Floor(math.Log10(low)); power <= math.Ceil(math.Log10(high)); power++ {
		for _, f := range []float64{1, 2, 5} {
			v := f * math.Pow(10, power)
			if v <= low*1.001 {
				below = max(below, v)
			}
			if v >= high*0.999 {
				above = min(above, v)
			}
		}
	}
	return below, above
}

func (s scale) shows(v float64) bool {
	return !math.IsNaN(v) && !math.IsInf(v, 0) && (!s.axis.Log || v > 0 || v == 0 && s.zero > 0)
}

func (s scale) at(v float64) float64 {
	if v == 0 && s.zero > 0 {
		return s.zero
	}
	part := (v - s.low) / (s.high - s.low)
	if s.axis.Log {
		part = math.Log(v/s.low) / math.Log(s.high/s.low)
	}
	return s.from + part*(s.to-s.from)
}

// ticks are round values within the scale: powers of ten and, if there are few of those, 2 and 5 times them.
func (s scale) ticks() (ticks []float64) {
	if !s.axis.Log {
		step := math.Pow(10, math.Floor(math.Log10((s.high-s.low)/2)))
		if (s.high-s.low)/step > 8 {
			step *= 2.5
		}
		for v := math.Ceil(s.low/step) * step; v <= s.high; v += step {
			ticks = append(ticks, v)
		}
		return ticks
	}
	if s.zero > 0 {
		ticks = append(ticks, 0)
	}
	factors := []float64{1}
	if math.Log10(s.high/s.low) < 3 {
		factors = []float64{1, 2, 5}
	}
	for power := math.Floor(math.Log10(s.low)); power <= math.Ceil(math.Log10(s.high)); power++ {
		for _, f := range factors {
			if v := f * math.Pow(10, power); v >= s.low*0.999 && v <= s.high*1.001 {
				ticks = append(ticks, v)
			}
		}
	}
	return ticks
}
