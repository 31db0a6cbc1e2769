package plot

import (
	"bytes"
	"fmt"
)

// Bar is a value with a name.
type Bar struct {
	Name  string
	Value float64
}

// Bars is a picture of horizontal bars, one below the other.
type Bars struct {
	Title  string
	Bars   []Bar
	Format func(float64) string
}

const (
	barHeight = 26
	barsLeft  = 420 // names of functions are long
	barsRight = 70
	barName   = 56 // letters that fit on the left; of a longer name, the end is shown
)

// SVG draws the bars.
func (c Bars) SVG() []byte {
	var b bytes.Buffer
	high := 40 + barHeight*len(c.Bars) + 10
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n", width, high, escape(c.Title))
	b.WriteString(style)
	fmt.Fprintf(&b, `<text class="title" x="%d" y="22">%s</text>`+"\n", 10, escape(c.Title))
	most := 0.0
	for _, bar := range c.Bars {
		most = max(most, bar.Value)
	}
	for i, bar := range c.Bars {
		y, long := 40+barHeight*i, 0.0
		if most > 0 {
			long = bar.Value / most * (width - barsLeft - barsRight)
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", barsLeft-8, y+16, escape(end(bar.Name)))
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"><title>%s</title></rect>`+"\n",
			barsLeft, y+2, long, barHeight-6, colours[0], escape(bar.Name))
		fmt.Fprintf(&b, `<text x="%.1f" y="%d">%s</text>`+"\n", barsLeft+long+8, y+16, escape(c.Format(bar.Value)))
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func end(name string) string {
	if letters := []rune(name); len(letters) > barName {
		return "…" + string(letters[len(letters)-barName+1:])
	}
	return name
}
