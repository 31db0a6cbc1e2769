package adopt_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/buffkit/buffkit/migrate/adopt"
	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/source"
)

// folder makes files of pairs of name and text.
func folder(pairs ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		fsys[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return fsys
}

// shape is what package source reads of a folder: each script with its statements and their lines.
func shape(t *testing.T, fsys fs.FS, d dialect.Dialect) string {
	t.Helper()
	migrations, err := source.Load(fsys, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, m := range migrations {
		fmt.Fprintf(&b, "%s %s\n", m.Version, m.Name)
		script(t, &b, "up", m.Up)
		script(t, &b, "down", m.Down)
	}
	return b.String()
}

func script(t *testing.T, b *strings.Builder, direction string, s *source.Script) {
	t.Helper()
	if s == nil {
		return
	}
	if s.Header.NoTransaction {
		direction += " alone"
	}
	fmt.Fprint(b, direction)
	for st, err := range s.Statements(nil) {
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(b, " %d:%s;", st.Pos.Line, strings.Join(strings.Fields(st.SQL), " "))
	}
	fmt.Fprintln(b)
}

const (
	trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN\n  DELETE FROM b;\n  DELETE FROM c;\nEND"
	oneLine = "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; DELETE FROM c; END"
)

func TestAToolsFilesAreReadAsTheyAre(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		tool  adopt.Tool
		d     dialect.Dialect
		files fs.FS
		want  string
	}{
		{"goose", adopt.Goose, dialect.SQLite, folder("00001_a.sql", "-- +goose Up\nSELECT 1;\n\n-- +goose Down\nSELECT 2;\n"),
			"00001 a\nup 2:SELECT 1;\ndown 5:SELECT 2;\n"},
		{"goose in lower case, with CRLF and a BOM", adopt.Goose, dialect.SQLite, folder("1_a.sql", "\ufeff-- +goose up\r\nSELECT 1;\r\n-- +GOOSE DOWN\r\nSELECT 2;\r\n"),
			"1 a\nup 2:SELECT 1;\ndown 4:SELECT 2;\n"},
		{"goose without a transaction", adopt.Goose, dialect.Postgres, folder("1_a.sql", "-- +goose Up\n-- +goose NO TRANSACTION\nSELECT 1;\n-- +goose Down\nSELECT 2;\n"),
			"1 a\nup alone 3:SELECT 1;\ndown alone 5:SELECT 2;\n"},
		{"goose's statements without a semicolon", adopt.Goose, dialect.SQLite,
			folder("1_a.sql", "-- +goose Up\n-- +goose StatementBegin\n"+trigger+"\n-- +goose StatementEnd\n-- +goose StatementBegin\nSELECT 1\n-- +goose StatementEnd\n"),
			"1 a\nup 3:" + oneLine + "; 9:SELECT 1;\n"},
		{"our files beside goose's", adopt.Goose, dialect.SQLite, folder("1_a.sql", "-- +goose Up\nSELECT 1;\n", "2_b.up.sql", "SELECT 2;\n", "2_b.down.sql", "SELECT 3;\n"),
			"1 a\nup 2:SELECT 1;\n2 b\nup 1:SELECT 2;\ndown 1:SELECT 3;\n"},
		{"goose's Go is left out", adopt.Goose, dialect.SQLite, folder("1_a.sql", "-- +goose Up\nSELECT 1;\n", "2_b.go", "package x", "b_test.go", "package x"),
			"1 a\nup 2:SELECT 1;\n"},
		{"sql-migrate", adopt.SQLMigrate, dialect.Postgres,
			folder("20240101-a.sql", "-- +migrate Up notransaction\nSELECT 1;\n-- +migrate Down\n-- +migrate StatementBegin\nSELECT 2\n-- +migrate StatementEnd\n"),
			"20240101 a\nup alone 2:SELECT 1;\ndown 5:SELECT 2;\n"},
		{"dbmate", adopt.Dbmate, dialect.Postgres, folder("20240101_a.sql", "-- migrate:up transaction:false\nSELECT 1;\n-- migrate:down\nSELECT 2;\n", "2.sql", "-- migrate:up\n"),
			"2 unnamed\nup\n20240101 a\nup alone 2:SELECT 1;\ndown 4:SELECT 2;\n"},
		{"tern", adopt.Tern, dialect.Postgres, folder("001_a.sql", "SELECT 1;\n\n---- create above / drop below ----\n\nSELECT 2;\n", "002_b.sql", "SELECT 3;\n", "sub/x.sql", "{{ . }}"),
			"001 a\nup 1:SELECT 1;\ndown 5:SELECT 2;\n002 b\nup 1:SELECT 3;\n"},
		{"tern without a transaction", adopt.Tern, dialect.Postgres,
			folder("001_a.sql", "---- tern: disable-tx ----\nSELECT 1;\n---- create above / drop below ----\n---- tern: disable-tx ----\nSELECT 2;\n"),
			"001 a\nup alone 2:-- no-transaction SELECT 1;\ndown alone 5:-- no-transaction SELECT 2;\n"},
		{"golang-migrate, with a name for each direction", adopt.GolangMigrate, dialect.Postgres, folder("1_a.b.up.sql", "SELECT 1;", "1_undo.down.sql", "SELECT 2;"),
			"1 a_b\nup 1:SELECT 1;\ndown 1:SELECT 2;\n"},
		{"golang-migrate, what can't be in a transaction", adopt.GolangMigrate, dialect.Postgres,
			folder("1_a.up.sql", "CREATE INDEX CONCURRENTLY i ON a (n);", "2_b.up.sql", "SELECT 'concurrently';", "3_c.up.sql", "VACUUM a"),
			"1 a\nup alone 2:-- no-transaction CREATE INDEX CONCURRENTLY i ON a (n);\n2 b\nup 1:SELECT 'concurrently';\n3 c\nup alone 2:-- no-transaction VACUUM a;\n"},
		{"pop", adopt.Pop, dialect.Postgres,
			folder("1_a.up.sql", "SELECT 0;", "1_a.pg.up.sql", "SELECT 1;", "1_a.mysql.up.sql", "x", "deep/2_b.up.sql", "SELECT 2;", "3_c.cockroach.up.sql", "x", "schema.sql", "x"),
			"1 a\nup 1:SELECT 1;\n2 b\nup 1:SELECT 2;\n"},
		{"bun", adopt.Bun, dialect.MySQL, folder("1_a.up.sql", "SELECT 1\n--bun:split\nSELECT 2", "1_a.down.sql", "", "2_b.tx.up.sql", "SELECT 3", "3_c.go", "package x"),
			"1 a\nup 1:SELECT 1; 3:SELECT 2;\ndown\n2 b\nup 1:SELECT 3;\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, err := adopt.Open(tt.files, tt.tool, tt.d)
			if err != nil {
				t.Fatal(err)
			}
			if got := shape(t, dir, tt.d); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestWhatCantBeReadSaysWhatToWrite(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		tool     adopt.Tool
		files    fs.FS
		msg, say string
	}{
		{"fizz", adopt.Pop, folder("1_a.up.fizz", "create_table()"), "written in fizz", "1_a.up.sql"},
		{"pop's template", adopt.Pop, folder("1_a.up.sql", "CREATE TABLE {{ .Options }}"), "template", "{{ … }}"},
		{"tern's template", adopt.Tern, folder("1_a.sql", "{{ template \"x\" . }}"), "template", "{{ … }}"},
		{"goose's environment", adopt.Goose, folder("1_a.sql", "-- +goose ENVSUB ON\n-- +goose Up\n"), "ENVSUB", "write the values"},
		{"goose's unknown annotation", adopt.Goose, folder("1_a.sql", "-- +goose Up\n-- +goose Sideways\n"), "sideways", "StatementBegin"},
		{"no Up", adopt.Goose, folder("1_a.sql", "SELECT 1;\n"), "no line -- +goose Up", "add one"},
		{"no StatementEnd", adopt.SQLMigrate, folder("1_a.sql", "-- +migrate Up\n-- +migrate StatementBegin\nSELECT 1;\n"), "no StatementEnd", "add one"},
		{"an id without a number", adopt.SQLMigrate, folder("users.sql", "-- +migrate Up\n"), "no number", "0001-users.sql"},
		{"one migration twice", adopt.Dbmate, folder("1_a.sql", "-- migrate:up\n", "1-a.sql", "-- migrate:up\n"), "the same migration", "another version"},
		{"not .sql", adopt.GolangMigrate, folder("1_a.up.json", "{}"), "doesn't end in .sql", "move it"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := adopt.Open(tt.files, tt.tool, dialect.Postgres)
			var fault *source.FileError
			if !errors.As(err, &fault) || !strings.Contains(fault.Msg, tt.msg) || !strings.Contains(fault.Hint, tt.say) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestWhatIsLeftOutIsSaid(t *testing.T) {
	t.Parallel()
	dir, err := adopt.Open(folder("1_a.go", "package x", "notes.sql", "", "2_b.sql", "-- +goose Up\n", "README.md", ""), adopt.Goose, dialect.SQLite)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(dir.Left(), "\n"); !strings.Contains(got, "1_a.go: a migration in Go") || !strings.Contains(got, "notes.sql") || strings.Contains(got, "README") {
		t.Errorf("%q", got)
	}
}

func TestADirIsAFileSystem(t *testing.T) {
	t.Parallel()
	for tool, files := range map[adopt.Tool]fs.FS{
		adopt.Goose:         folder("1_a.sql", "-- +goose Up\nSELECT 1;\n", "2_b.up.sql", "SELECT 2;\n"),
		adopt.GolangMigrate: folder("1_a.up.sql", "SELECT 1;\n", "1_a.down.sql", "VACUUM;\n"),
		adopt.Dbmate:        folder("1_a.sql", "-- migrate:up\n", "2.sql", "-- migrate:up\n"),
	} {
		dir, err := adopt.Open(files, tool, dialect.SQLite)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := fs.ReadDir(dir, ".")
		if err != nil || len(entries) != 2 {
			t.Fatalf("%s: %v %v", tool, entries, err)
		}
		if err := fstest.TestFS(dir, entries[0].Name(), entries[1].Name()); err != nil {
			t.Errorf("%s: %v", tool, err)
		}
		file, err := dir.Open(entries[0].Name())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(file); err != nil {
			t.Error(err)
		}
		if _, err := dir.Open("none.sql"); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
}

func TestParseTool(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]adopt.Tool{"goose": adopt.Goose, "Soda": adopt.Pop, "migrate": adopt.GolangMigrate, "sql-migrate": adopt.SQLMigrate} {
		if got, err := adopt.ParseTool(name); got != want || err != nil {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	if _, err := adopt.ParseTool("flyway"); err == nil || !strings.Contains(err.Error(), "tern or bun") {
		t.Error(err)
	}
}
