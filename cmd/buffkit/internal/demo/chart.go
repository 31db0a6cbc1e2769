package demo

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// The charts show the last two minutes: long enough for a cut and its replay to be seen in one picture.
const (
	chartWindow = 2 * time.Minute
	chartWidth  = 1200 // units of the SVG: a tenth of a second each
	chartHeight = 100
	chartBreak  = 5 * time.Second // a longer silence, such as a laptop's sleep, is drawn as one
)

// chart is a drawing for the template "chart". The SVG is stretched to its box, so the labels stand beside it, in HTML.
type chart struct {
	Label  string   // for those who can't see it
	Scale  []string // the labels of the upward axis: top, middle, bottom
	Series []series
}

// series is one curve: the line and the area under it, as SVG paths.
type series struct{ Class, Line, Area string }

// point is a value at a time.
type point struct {
	at    time.Time
	value float64
}

// draw turns points into curves over the window that ends at now; top is the value at the upper edge.
func draw(class string, now time.Time, top float64, points []point) series {
	s := series{Class: class}
	var line, area []byte
	var last point
	var startX, lastX float64
	closeArea := func() {
		if len(area) > 0 {
			area = fmt.Appendf(area, "L%s %dL%s %dZ", number(lastX), chartHeight, number(startX), chartHeight)
		}
	}
	for _, p := range points {
		age := now.Sub(p.at)
		if age > chartWindow || age < 0 {
			continue
		}
		x := chartWidth * (1 - float64(age)/float64(chartWindow))
		y := chartHeight * (1 - min(max(p.value/top, 0), 1))
		command := "L"
		if len(line) == 0 || p.at.Sub(last.at) > chartBreak {
			closeArea()
			command, startX = "M", x
		}
		line = fmt.Appendf(line, "%s%s %s", command, number(x), number(y))
		area = fmt.Appendf(area, "%s%s %s", command, number(x), number(y))
		last, lastX = p, x
	}
	closeArea()
	s.Line, s.Area = string(line), string(area)
	return s
}

// number writes a coordinate with one decimal at most: finer than a pixel, and half the bytes.
func number(x float64) string {
	return strconv.FormatFloat(math.Round(x*10)/10, 'f', -1, 64)
}

// roundUp returns the next 1, 2 or 5 times a power of ten, at least least, so that an axis ends on a plain number.
func roundUp(value, least float64) float64 {
	value = max(value, least)
	power := math.Pow(10, math.Floor(math.Log10(value)))
	for _, step := range []float64{1, 2, 5} {
		if step*power >= value {
			return step * power
		}
	}
	return 10 * power
}

// bytesText writes an amount with its unit, decimal, as disks and networks are sold.
func bytesText(n float64) string {
	const step = 1000
	for _, unit := range []string{"B", "kB", "MB", "GB", "TB"} {
		if n < step || unit == "TB" {
			if n >= 100 || unit == "B" {
				return fmt.Sprintf("%.0f %s", n, unit)
			}
			return fmt.Sprintf("%.1f %s", n, unit)
		}
		n /= step
	}
	panic("unreachable")
}

func rateText(n float64) string { return bytesText(n) + "/s" }
