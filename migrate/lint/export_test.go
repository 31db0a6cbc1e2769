package lint

import (
	"fmt"
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
)

// Recognized returns what is recognized of a statement, in one line.
func Recognized(sql string, d dialect.Dialect) (text string) {
	for statement, err := range lexer.Split(strings.NewReader(sql), d, nil) {
		if err != nil {
			return err.Error()
		}
		s := recognize(statement, d, 1)
		text += fmt.Sprintf("%d %s %s", s.verb, s.object, s.table.key())
		for i := range s.columns {
			text += " | " + showColumn(&s.columns[i])
		}
		for i := range s.constraints {
			text += " | " + showConstraint(&s.constraints[i])
		}
		for i := range s.actions {
			a := &s.actions[i]
			text += " | " + a.kind + " " + a.column.key()
			if len(a.to.parts) > 0 {
				text += " to " + a.to.key()
			}
			switch a.kind {
			case "add column", "modify column", "alter type":
				text += ": " + showColumn(&a.def)
			case "add constraint", "drop constraint", "validate":
				text += showConstraint(&a.constraint)
			}
		}
	}
	return text
}

func showColumn(c *column) string {
	text := strings.TrimSpace(c.name.key() + " " + c.typ.String())
	if c.notNull {
		text += " not null"
	}
	if c.primary {
		text += " primary"
	}
	if c.defaulted != nil {
		text += " default " + c.defaulted.written()
	}
	if len(c.references.parts) > 0 {
		text += " -> " + c.references.key()
	}
	return text
}

func showConstraint(k *constraint) string {
	text := k.kind + " " + k.name.key()
	if len(k.columns) > 0 {
		text += " (" + strings.Join(keys(k.columns), ", ") + ")"
	}
	if len(k.references.parts) > 0 {
		text += " -> " + k.references.key()
	}
	return text
}

// Verbs that tests name.
var (
	CreateTable = int(createTable)
	AlterTable  = int(alterTable)
)
