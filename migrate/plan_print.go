package migrate

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Print writes the plan as SQL with comments: every statement that Run would send for it, in their order, and where transactions
// begin and end. What can't be known before it runs is in the comments.
func (p *Plan) Print(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "-- %s: %s to run\n", p.Dialect.Title(), count(len(p.Steps), "migration"))
	for _, text := range p.Warnings {
		fmt.Fprintf(b, "-- warning: %s\n", text)
	}
	for _, s := range p.Skipped {
		fmt.Fprintf(b, "-- left out: %s, which is for env: %s\n", s.Ref, strings.Join(s.Env, ", "))
	}
	if p.first && len(p.Steps) > 0 {
		fmt.Fprintf(b, "-- the ledger %s will be created first\n", p.table)
	}
	for _, s := range p.Steps {
		if err := s.print(b, p); err != nil {
			return err
		}
	}
	return b.Flush()
}

func (s *Step) print(b *bufio.Writer, p *Plan) error {
	fmt.Fprintf(b, "\n-- %s %s %s (%s): %s\n", s.Direction, s.Ref, s.Name, s.Path, count(s.Statements, "statement"))
	for _, note := range s.Notes {
		fmt.Fprintf(b, "-- %s\n", note)
	}
	if s.Done > 0 {
		fmt.Fprintf(b, "-- statements %s were executed by an interrupted run\n", span(1, s.Done))
	}
	if s.Doubt {
		fmt.Fprintf(b, "-- statement %d may have been executed by an interrupted run: the catalog is looked at first\n", s.Done+1)
	}
	if s.shape.fkOff {
		b.WriteString("PRAGMA foreign_keys = OFF;\n")
	}
	if s.Atomic {
		fmt.Fprintf(b, "%s;\n", p.begin)
	}
	for st, err := range s.SQL() {
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "%s;\n", st.SQL)
	}
	if s.Direction == Up {
		fmt.Fprintf(b, "-- write %s to %s\n", s.Ref, p.table)
	} else {
		fmt.Fprintf(b, "-- delete %s from %s\n", s.Ref, p.table)
	}
	if s.shape.fkOff {
		b.WriteString("-- check the foreign keys\n")
	}
	if s.Atomic {
		b.WriteString("COMMIT;\n")
	}
	return nil
}
