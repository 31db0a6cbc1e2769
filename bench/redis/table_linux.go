package main

import (
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/buffkit/buffkit/bench/internal/result"
)

// table is printed row by row, and can be written into RESULTS.md.
type table struct {
	section result.Section
	file    string // "": it isn't written
	rows    []string
	notes   []string
}

// newTable prints what stands above the table. The first column is the server.
func (c config) newTable(name, title, text string, columns ...string) *table {
	t := &table{section: result.Section{Name: name, Title: title, Text: text}, file: c.results}
	fmt.Println(text)
	t.print("| server | " + strings.Join(columns, " | ") + " |")
	t.print("|---" + strings.Repeat("|---:", len(columns)) + "|")
	return t
}

func (t *table) print(row string) {
	fmt.Println(row)
	t.rows = append(t.rows, row)
}

func (t *table) row(server string, cells ...any) {
	texts := []string{server}
	for _, cell := range cells {
		if d, ok := cell.(time.Duration); ok {
			cell = result.Duration(d.Seconds())
		}
		texts = append(texts, fmt.Sprint(cell))
	}
	t.print("| " + strings.Join(texts, " | ") + " |")
}

func (t *table) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
	fmt.Println(t.notes[len(t.notes)-1])
}

// save writes the table into its file, with what the figures are of.
func (t *table) save() error {
	if t.file == "" {
		return nil
	}
	env, err := result.Here()
	if err != nil {
		return err
	}
	command := "go run ./bench/redis"
	flag.Visit(func(f *flag.Flag) {
		switch {
		case f.Name == "results":
		case f.Value.String() == "true":
			command += " -" + f.Name
		default:
			command += " -" + f.Name + " " + f.Value.String()
		}
	})
	of := time.Now().UTC().Format("2006-01-02") + "; " + env.String() + "."
	text := slices.Concat([]string{t.section.Text, "", "```", command, "```", "", of, ""}, t.rows)
	for _, note := range t.notes {
		text = append(text, "", note)
	}
	t.section.Text = strings.Join(text, "\n") + "\n"
	if err := result.Write(t.file, "", []result.Section{t.section}); err != nil {
		return fmt.Errorf("write the table into %s: %w", filepath.Base(t.file), err)
	}
	return nil
}
