package pattern

import (
	"embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"

	"github.com/buffkit/buffkit/migrate/dialect"
)

//go:embed templates
var templates embed.FS

// Pattern is one kind of migration.
type Pattern struct {
	Name  string // as Write takes it
	Title string // what it does, a few words
	Needs []Need // what must be given, besides Params.Table
	Takes []Need // what may be given
	// Lacks says what to do instead on the databases that don't have it.
	Lacks map[dialect.Dialect]string
}

// Need is a field of Params, by the name of its flag.
type Need string

// The fields of Params.
const (
	NeedColumn     Need = "column"      // one
	NeedColumns    Need = "column …"    // one or more
	NeedType       Need = "column:TYPE" // one, with its type
	NeedTypes      Need = "column:TYPE …"
	NeedTo         Need = "to"
	NeedSet        Need = "set"
	NeedEnum       Need = "enum"
	NeedValue      Need = "value"
	NeedValues     Need = "values"
	NeedReferences Need = "references"
	NeedFrom       Need = "from"
	NeedWas        Need = "was"
	NeedDefault    Need = "default"
	NeedKey        Need = "key"
	NeedBatch      Need = "batch"
	NeedUnique     Need = "unique"
	NeedLanguage   Need = "language"
	NeedMonths     Need = "months"
)

const useRebuild = "SQLite changes a table only by building it anew: use the pattern rebuild, with the new definition of the column"

// patterns are all of them.
var patterns = []Pattern{
	{Name: "create-table", Title: "a new table with a key and a time", Needs: []Need{NeedTypes}},
	{Name: "add-column", Title: "a column, without writing the rows", Needs: []Need{NeedType}, Takes: []Need{NeedDefault}},
	{Name: "rename-column", Title: "another name for a column, in three steps: expand, fill, contract", Needs: []Need{NeedType, NeedTo}, Takes: []Need{NeedKey, NeedBatch}},
	{Name: "backfill", Title: "values for a column that is NULL, in batches", Needs: []Need{NeedColumn, NeedSet}, Takes: []Need{NeedKey, NeedBatch}},
	{Name: "index", Title: "an index, while others write", Needs: []Need{NeedColumns}, Takes: []Need{NeedUnique}},
	{Name: "enum-value", Title: "one more value of an enum", Needs: []Need{NeedColumn, NeedValues, NeedValue}, Takes: []Need{NeedEnum},
		Lacks: map[dialect.Dialect]string{dialect.SQLite: "SQLite has no enum: a CHECK (state IN (…)) is changed by the pattern rebuild, and a table of values with a foreign key by an INSERT"}},
	{Name: "partition", Title: "a new table with a partition a month", Needs: []Need{NeedColumns, NeedFrom}, Takes: []Need{NeedMonths},
		Lacks: map[dialect.Dialect]string{dialect.SQLite: "SQLite has no partitions: use an index on the time and delete by it, or a file a month (ATTACH)"}},
	{Name: "updated-at", Title: "a column with the time of the last change, set by the database"},
	{Name: "fulltext", Title: "a full-text index", Needs: []Need{NeedColumns}, Takes: []Need{NeedLanguage, NeedKey}},
	{Name: "foreign-key", Title: "a foreign key, checked without blocking", Needs: []Need{NeedColumn, NeedReferences}, Takes: []Need{NeedKey},
		Lacks: map[dialect.Dialect]string{dialect.SQLite: useRebuild}},
	{Name: "soft-delete", Title: "rows that are deleted by a time, and a view of the others"},
	{Name: "rebuild", Title: "a table built anew with other columns, for what ALTER TABLE can't do", Needs: []Need{NeedTypes, NeedWas},
		Lacks: map[dialect.Dialect]string{
			dialect.Postgres: "PostgreSQL needn't build a table anew: ALTER TABLE does it, safely by the patterns add-column, rename-column and foreign-key",
			dialect.MySQL:    "MySQL builds tables anew by itself: ALTER TABLE …, ALGORITHM=INPLACE, LOCK=NONE, and gh-ost where that is refused",
			dialect.MariaDB:  "MariaDB builds tables anew by itself: ALTER TABLE …, ALGORITHM=INPLACE, LOCK=NONE, and gh-ost where that is refused",
		}},
}

// All returns the patterns.
func All() []Pattern { return slices.Clone(patterns) }

// File is a migration that was written, with sections for both directions.
type File struct {
	Name string // without version and extension
	Text string
	// When is what must be so before it may be applied, as "no release reads it any more"; "" for at once, behind those before it. Keep such a file out of
	// the folder until then: an up applies all that are there.
	When string
}

// ErrLacks: the database doesn't have it. The error says what to do instead.
var ErrLacks = errors.New("pattern: not for this database")

// Write writes the migrations of a pattern, in the order in which they run. The error says what is missing in the Params, or wrong with
// them; or it is ErrLacks.
func Write(name string, d dialect.Dialect, p Params) ([]File, error) {
	i := slices.IndexFunc(patterns, func(p Pattern) bool { return p.Name == name })
	if i < 0 {
		var names []string
		for _, p := range patterns {
			names = append(names, p.Name)
		}
		return nil, fmt.Errorf("pattern: there is no %.32q: there are %s", name, strings.Join(names, ", "))
	}
	pattern := &patterns[i]
	if instead := pattern.Lacks[d]; instead != "" {
		return nil, fmt.Errorf("%w: %s", ErrLacks, instead)
	}
	if err := p.check(pattern, d); err != nil {
		return nil, fmt.Errorf("pattern: %s: %w", name, err)
	}
	folder := d.String()
	if d == dialect.MariaDB {
		folder = dialect.MySQL.String() // what is written is the same; its tests run on both
	}
	t, err := template.ParseFS(templates, "templates/"+name+"/"+folder+".sql", "templates/batches."+folder)
	if err != nil {
		return nil, fmt.Errorf("pattern: %s for %s: %w", name, d.Title(), err)
	}
	var b strings.Builder
	if err := t.ExecuteTemplate(&b, folder+".sql", p.view()); err != nil {
		return nil, fmt.Errorf("pattern: %s for %s: %w", name, d.Title(), err)
	}
	return cut(b.String()), nil
}

// cut takes the files apart, each below a line ==== NAME or ==== NAME when WHEN.
func cut(text string) (files []File) {
	for part := range strings.SplitSeq("\n"+text, "\n==== ") {
		name, body, _ := strings.Cut(part, "\n")
		if body = strings.Trim(body, "\n"); body != "" {
			name, when, _ := strings.Cut(strings.TrimSpace(name), " when ")
			files = append(files, File{name, body + "\n", when})
		}
	}
	return files
}
