package adopt

import (
	"fmt"
	"slices"
	"strings"
)

// Tool is a runner of migrations whose files and ledger this package reads. It is the origin of the rows that it gets in our ledger.
type Tool string

// The tools.
const (
	Goose         Tool = "goose"
	GolangMigrate Tool = "golang-migrate"
	Dbmate        Tool = "dbmate"
	SQLMigrate    Tool = "sql-migrate"
	Pop           Tool = "pop" // and soda, and buffalo's migrations
	Tern          Tool = "tern"
	Bun           Tool = "bun"
)

// Tools returns all of them.
func Tools() []Tool { return []Tool{Goose, GolangMigrate, Dbmate, SQLMigrate, Pop, Tern, Bun} }

// ParseTool takes a tool's name, or one that people call it by: migrate, soda, buffalo.
func ParseTool(name string) (Tool, error) {
	t := Tool(strings.ToLower(name))
	switch t {
	case "migrate":
		t = GolangMigrate
	case "soda", "buffalo", "fizz":
		t = Pop
	}
	if !slices.Contains(Tools(), t) {
		return "", fmt.Errorf("adopt: no tool is called %.32q: use %s", name, list(Tools(), "or"))
	}
	return t, nil
}

// table is where a tool keeps its ledger if it isn't told otherwise.
func (t Tool) table() string {
	switch t {
	case Goose:
		return "goose_db_version"
	case GolangMigrate, Dbmate:
		return "schema_migrations"
	case SQLMigrate:
		return "gorp_migrations"
	case Pop:
		return "schema_migration"
	case Tern:
		return "schema_version"
	case Bun:
		return "bun_migrations"
	}
	return ""
}

func list[T ~string](all []T, word string) string {
	switch n := len(all); n {
	case 0:
		return ""
	case 1:
		return string(all[0])
	default:
		var b strings.Builder
		for _, one := range all[:n-1] {
			b.WriteString(string(one) + ", ")
		}
		return strings.TrimSuffix(b.String(), ", ") + " " + word + " " + string(all[n-1])
	}
}
