package migrate_test

import (
	"database/sql"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
)

func TestNewSaysWhatIsWrongWithItsOptions(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{}
	tests := []struct {
		name    string
		dialect dialect.Dialect
		opts    *migrate.Options
		want    string
	}{
		{"no options", dialect.SQLite, nil, "Sources is empty"},
		{"an empty source", dialect.SQLite, &migrate.Options{Sources: []migrate.Source{{Name: "a"}}}, "neither FS nor Go"},
		{"two of a name", dialect.SQLite, &migrate.Options{Sources: []migrate.Source{{FS: fsys}, {Name: "app", FS: fsys}}}, "two sources"},
		{"a name with a space", dialect.SQLite, &migrate.Options{Sources: []migrate.Source{{Name: "a b", FS: fsys}}}, "letters, digits"},
		{"a table with a quote", dialect.SQLite, &migrate.Options{Table: `a"b`, Sources: []migrate.Source{{FS: fsys}}}, "letters, digits and _"},
		{"no dialect", 0, &migrate.Options{Sources: []migrate.Source{{FS: fsys}}}, "no dialect"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := migrate.New(new(sql.DB), tt.dialect, tt.opts); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v", err)
			}
		})
	}
	if _, err := migrate.New(nil, dialect.SQLite, nil); err == nil || !strings.Contains(err.Error(), "needs a *sql.DB") {
		t.Errorf("%v", err)
	}
}
