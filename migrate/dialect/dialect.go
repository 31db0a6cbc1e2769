package dialect

import (
	"fmt"
	"slices"
	"strings"
)

// Dialect is one of the databases that migrations run on. The zero value is none of them.
type Dialect uint8

// The databases.
const (
	Postgres Dialect = iota + 1
	MySQL
	MariaDB
	SQLite
)

// names are the spellings that Parse knows, the one that String returns first. The others are those which drivers, connection
// strings and the file names of other tools use.
var names = [...][]string{
	Postgres: {"postgres", "postgresql", "pg", "pgx"},
	MySQL:    {"mysql"},
	MariaDB:  {"mariadb"},
	SQLite:   {"sqlite", "sqlite3"},
}

// All returns the dialects.
func All() []Dialect { return []Dialect{Postgres, MySQL, MariaDB, SQLite} }

// Parse returns the dialect of a name in any case. Besides the names that String returns it knows postgresql, pg, pgx and sqlite3.
func Parse(name string) (Dialect, error) {
	for _, d := range All() {
		if slices.Contains(names[d], strings.ToLower(name)) {
			return d, nil
		}
	}
	return 0, fmt.Errorf("dialect: unknown database %q: use postgres, mysql, mariadb or sqlite", name)
}

// String returns the name in lower case: postgres, mysql, mariadb, sqlite.
func (d Dialect) String() string {
	if !d.valid() {
		return "unknown"
	}
	return names[d][0]
}

// Title returns the name as the project writes it itself, for messages.
func (d Dialect) Title() string {
	switch d {
	case Postgres:
		return "PostgreSQL"
	case MySQL:
		return "MySQL"
	case MariaDB:
		return "MariaDB"
	case SQLite:
		return "SQLite"
	}
	return "unknown"
}

func (d Dialect) valid() bool { return d >= Postgres && d <= SQLite }

// MarshalText writes what String returns, so that a dialect is a word in JSON. It fails for the zero value.
func (d Dialect) MarshalText() ([]byte, error) {
	if !d.valid() {
		return nil, fmt.Errorf("dialect: %d is none", d)
	}
	return []byte(d.String()), nil
}

// UnmarshalText reads what Parse reads.
func (d *Dialect) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	if err == nil {
		*d = parsed
	}
	return err
}
