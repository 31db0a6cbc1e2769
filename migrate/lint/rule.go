package lint

import (
	"slices"

	"github.com/buffkit/buffkit/migrate/dialect"
)

// Category is what a rule is about.
type Category string

// The categories.
const (
	Destructive  Category = "destructive"   // data is lost
	Blocking     Category = "blocking"      // others wait
	Data         Category = "data"          // whether it works depends on the rows that are there
	Compatible   Category = "compatibility" // the app that runs now breaks
	Irreversible Category = "irreversible"  // it can't be undone
	Transaction  Category = "transaction"   // it fails, or does half, in or without a transaction
	Types        Category = "types"         // a column that will be regretted
	Naming       Category = "naming"
	Meta         Category = "meta" // about the linter's own comments
)

// Rule is what the linter knows to look for.
type Rule struct {
	ID       string // stable, what lint:allow and Options.Severities name
	Title    string // what is found, a few words
	Category Category
	Severity Severity // without Options.Rows and Options.Severities
	Dialects []dialect.Dialect
	Why      string // why it hurts
	Safe     string // the safe way: SQL, with comments
	Weighs   bool   // its severity depends on the size of the table
	Down     bool   // looked for in down scripts too
}

// rule is a Rule and how it is found. Each function may be nil.
type rule struct {
	Rule
	check func(*checker, *stmt) // a statement
	end   func(*checker)        // the end of a script
	pair  func(c *checker, up, down *script)
	done  func(*checker) // the end of all
}

var (
	everywhere = dialect.All()
	onPostgres = []dialect.Dialect{dialect.Postgres}
	onMySQL    = []dialect.Dialect{dialect.MySQL, dialect.MariaDB}
	onSQLite   = []dialect.Dialect{dialect.SQLite}
	onServers  = []dialect.Dialect{dialect.Postgres, dialect.MySQL, dialect.MariaDB}
)

// Rules returns the rules, by category.
func Rules() []Rule {
	all := make([]Rule, len(rules))
	for i := range rules {
		all[i] = rules[i].Rule
		all[i].Dialects = slices.Clone(all[i].Dialects)
	}
	return all
}
