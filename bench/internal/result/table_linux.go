package result

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Column is one of a table.
type Column struct {
	Title  string
	Metric string
	Format func(float64) string
	Spread bool   // shows the smallest and the largest of the rounds too
	Rare   bool   // not every record has it
	Of     string // shows the ratio to this server instead
}

// Table writes the figures of each server as Markdown. A sweep, which has a pointTitle, has a line for each point. servers gives the order, titles
// what to call them.
func (s Set) Table(columns []Column, servers []string, titles map[string]string, pointTitle string) string {
	var b strings.Builder
	points := s.Points()
	swept := pointTitle != ""
	b.WriteString("| server |")
	if swept {
		b.WriteString(" " + pointTitle + " |")
	}
	for _, c := range columns {
		b.WriteString(" " + c.Title + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(columns)))
	if swept {
		b.WriteString("---:|")
	}
	b.WriteString("\n")
	for _, server := range s.Servers(servers) {
		for _, point := range points {
			if !s.has(server, point) {
				continue
			}
			b.WriteString("| " + titles[server] + " |")
			if swept {
				b.WriteString(" " + Count(point) + " |")
			}
			if note := s.Note(server, point); note != "" {
				b.WriteString(" " + strings.ReplaceAll(note, "|", "/") + " |\n")
				continue
			}
			for _, c := range columns {
				b.WriteString(" " + s.cell(c, server, point) + " |")
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

func (s Set) cell(c Column, server string, point float64) string {
	values := s.Of(server, point, c.Metric)
	if len(values) == 0 {
		return "–"
	}
	m := Median(values)
	if c.Of != "" {
		of := s.Of(c.Of, point, c.Metric)
		if len(of) == 0 || Median(of) == 0 {
			return "–"
		}
		return Ratio(m / Median(of))
	}
	text := c.Format(m)
	if c.Spread && len(values) > 1 {
		text += fmt.Sprintf(" (%s–%s)", c.Format(values[0]), c.Format(values[len(values)-1]))
	}
	return text
}

// Count formats a number of pieces: 12,345.
func Count(v float64) string {
	digits := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Thousands formats many pieces: 15.3 k, 3,430 k.
func Thousands(v float64) string {
	switch {
	case v < 10_000:
		return Count(v)
	case v < 1_000_000:
		return three(v/1000) + " k"
	}
	return Count(v/1000) + " k"
}

// Ratio formats a quotient: 15.3 ×.
func Ratio(v float64) string { return three(v) + " ×" }

// Fixed formats a plain number, to three digits.
func Fixed(v float64) string { return three(v) }

// Percent formats a part of one.
func Percent(v float64) string { return strconv.FormatFloat(100*v, 'f', 0, 64) + " %" }

// Megabytes formats bytes: 12.3 MB.
func Megabytes(v float64) string { return three(v/1e6) + " MB" }

// Kilobytes formats bytes: 1.23 KB. Like Megabytes it counts in thousands.
func Kilobytes(v float64) string { return three(v/1e3) + " KB" }

// Duration formats seconds, to three digits: 1.23 ms, 57.6 ns.
func Duration(v float64) string {
	d := time.Duration(v * float64(time.Second))
	switch {
	case d < time.Microsecond:
		return three(v*1e9) + " ns"
	case d < time.Millisecond:
		return three(v*1e6) + " µs"
	case d < time.Second:
		return three(v*1e3) + " ms"
	}
	return three(v) + " s"
}

// Yes formats 1 and 0.
func Yes(v float64) string {
	switch v {
	case 0:
		return "no"
	case 1:
		return "yes"
	}
	return Percent(v)
}

func three(v float64) string {
	if v == 0 {
		return "0"
	}
	decimals := max(0, 2-int(math.Floor(math.Log10(math.Abs(v)))))
	return strconv.FormatFloat(v, 'f', min(decimals, 3), 64)
}

// Section is a part of RESULTS.md. What stands outside of the markers stays as it is.
type Section struct {
	Name, Title, Text string
	First             bool // stands before all others if it is new, instead of at the end
}

// Write puts sections into a file, each between its markers.
func Write(name string, head string, sections []Section) error {
	old, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		old, err = []byte(head), nil
	}
	if err != nil {
		return err
	}
	text := string(old)
	for _, s := range sections {
		begin, end := "<!-- bench:"+s.Name+" -->\n", "<!-- /bench:"+s.Name+" -->\n"
		before, rest, ok := strings.Cut(text, begin)
		if !ok {
			fresh := "\n\n## " + s.Title + "\n\n" + begin + s.Text + end
			before, after := text, ""
			if i := strings.Index(text, "\n## "); s.First && i >= 0 {
				before, after = text[:i], text[i:]
			}
			text = strings.TrimRight(before, "\n") + fresh + after
			continue
		}
		_, after, ok := strings.Cut(rest, end)
		if !ok {
			return fmt.Errorf("%s has %q without %q", filepath.Base(name), strings.TrimSpace(begin), strings.TrimSpace(end))
		}
		text = before + begin + s.Text + end + after
	}
	return WriteFile(name, []byte(text))
}
