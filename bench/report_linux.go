package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/buffkit/buffkit/bench/internal/goal"
	"github.com/buffkit/buffkit/bench/internal/peer"
	"github.com/buffkit/buffkit/bench/internal/plot"
	"github.com/buffkit/buffkit/bench/internal/result"
	"github.com/buffkit/buffkit/bench/internal/scenario"
)

// report is "bench report".
func report(args []string, out io.Writer) error {
	f := flag.NewFlagSet("bench report", flag.ContinueOnError)
	where := f.String("out", "", "`folder` with results; default: bench in this checkout")
	if err := f.Parse(args); err != nil {
		return err
	}
	to, err := folder(*where, false)
	if err != nil {
		return err
	}
	return writeReport(to, out, false)
}

const resultsHead = `# Results

Made by ` + "`go run ./bench run`" + `; [README.md](README.md) says what is measured and how to read it. Each table is of one machine and one
commit, which stand above it. Compare figures within a table, not between tables of different commits or machines.
`

// writeReport makes RESULTS.md of what is there. With show, it prints the tables too.
func writeReport(to string, out io.Writer, show bool) error {
	sections, err := goals(to)
	if err != nil {
		return err
	}
	for _, s := range scenario.All() {
		set, err := result.Load(to, s.Name)
		if err != nil {
			return err
		}
		if len(set.Records) == 0 {
			continue
		}
		text, err := section(to, s, set)
		if err != nil {
			return err
		}
		sections = append(sections, result.Section{Name: s.Name, Title: s.Title, Text: text})
		if show {
			fmt.Fprintf(out, "\n%s\n\n%s", s.Title, text)
		}
	}
	name := filepath.Join(to, "RESULTS.md")
	if err := result.Write(name, resultsHead, sections); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "\nwritten: %s\n", name)
	return err
}

// goals is the table of what was promised, of the newest figures.
func goals(to string) ([]result.Section, error) {
	table, env, err := goal.Table(func(name string) (result.Set, error) { return result.Load(to, name) })
	if err != nil {
		return nil, err
	}
	text := "Computed from the tables below, whose medians are of " + env.String() +
		". What is missing there, is of other sizes, or of another commit or machine, is not measured.\n\n" + table
	return []result.Section{{Name: "goals", Title: "Goals", Text: text, First: true}}, nil
}

func section(to string, s scenario.Scenario, set result.Set) (string, error) {
	var names []string
	titles := map[string]string{}
	for _, p := range peer.All() {
		names = append(names, p.Name)
		titles[p.Name] = p.Title
	}
	last := set.Records[len(set.Records)-1]
	text := s.Text + "\n\n```\n" + last.Command + "\n```\n\n" + last.At.Format("2006-01-02") + "; " + last.Env.String() +
		". Other programs took at most " + result.Percent(others(set)) + " of the processors.\n\n"
	if most := rounds(set); most > 1 {
		text += fmt.Sprintf("Medians of %d rounds, in parentheses the smallest and the largest", most)
		if s.PeerRounds > 0 && s.PeerRounds < most {
			text += fmt.Sprintf("; %d of the peers", s.PeerRounds)
		}
		text += ".\n\n"
	}
	table := set.Table(s.Columns, names, titles, s.PointTitle)
	missing, err := leftOut(s, set)
	if err != nil {
		return "", err
	}
	if s.Draw != nil {
		picture, err := drawText(to, s, set)
		if err != nil {
			return "", err
		}
		text += picture
	}
	if s.Vary == nil {
		return text + table + missing, nil
	}
	for _, p := range s.Plots {
		file := filepath.Join("plots", s.Name+"-"+p.Name+".svg")
		if err := result.WriteFile(filepath.Join(to, file), draw(s, p, set, names, titles)); err != nil {
			return "", err
		}
		text += fmt.Sprintf("![%s](%s)\n\n", p.Title, filepath.ToSlash(file))
	}
	return text + "<details><summary>the figures</summary>\n\n" + table + "\n</details>\n" + missing, nil
}

// drawText writes the text of the newest record that has one, and a picture of it.
func drawText(to string, s scenario.Scenario, set result.Set) (string, error) {
	for _, r := range slices.Backward(set.Records) {
		if r.Text == "" {
			continue
		}
		words, picture := filepath.Join("results", s.Name+".txt"), filepath.Join("plots", s.Name+".svg")
		if err := result.WriteFile(filepath.Join(to, words), []byte(r.Text)); err != nil {
			return "", err
		}
		if err := result.WriteFile(filepath.Join(to, picture), s.Draw(r.Text)); err != nil {
			return "", err
		}
		return fmt.Sprintf("![%s](%s)\n\nAs text: [%s](%s).\n\n", s.Title, filepath.ToSlash(picture), filepath.Base(words), filepath.ToSlash(words)), nil
	}
	return "", nil
}

// leftOut says which servers weren't measured, and why: a line for each reason.
func leftOut(s scenario.Scenario, set result.Set) (string, error) {
	var params scenario.Params
	if err := json.Unmarshal(set.Records[0].Params, &params); err != nil {
		return "", err
	}
	var reasons []string
	of := map[string][]string{} // by reason
	for _, p := range peer.All() {
		points := map[string][]string{} // of the server, by reason
		for _, x := range set.Points() {
			if reason := s.LeftOut(p, s.At(params, x)); reason != "" && reason != scenario.NotMeant {
				points[reason] = append(points[reason], result.Count(x))
			}
		}
		for reason, at := range points {
			who := p.Title
			if len(at) < len(set.Points()) {
				who += " at " + strings.Join(at, " and ")
			}
			if !slices.Contains(reasons, reason) {
				reasons = append(reasons, reason)
			}
			of[reason] = append(of[reason], who)
		}
	}
	slices.Sort(reasons)
	var text strings.Builder
	for _, reason := range reasons {
		fmt.Fprintf(&text, "\nLeft out (%s): %s.\n", reason, strings.Join(of[reason], "; "))
	}
	return text.String(), nil
}

func draw(s scenario.Scenario, p scenario.Plot, set result.Set, names []string, titles map[string]string) []byte {
	c := plot.Chart{Title: p.Title, X: plot.Axis{Title: s.PointTitle, Log: true, Format: result.Count}, Y: p.Axis}
	for _, name := range set.Servers(names) {
		l := plot.Line{Name: titles[name], Colour: slices.Index(names, name), Dashed: name == "floor"}
		for _, x := range set.Points() {
			if values := set.Of(name, x, p.Metric); len(values) > 0 {
				l.Points = append(l.Points, plot.Point{X: x, Y: result.Median(values)})
			}
		}
		c.Lines = append(c.Lines, l)
	}
	return c.SVG()
}

func others(set result.Set) (most float64) {
	for _, r := range set.Records {
		most = max(most, r.Others)
	}
	return most
}

func rounds(set result.Set) (n int) {
	for _, r := range set.Records {
		n = max(n, r.Round+1)
	}
	return n
}
