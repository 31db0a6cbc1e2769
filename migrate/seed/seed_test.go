package seed

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/buffkit/buffkit/migrate/dialect"
)

// all reads the rows of a file.
func all(name, text string) (lines []string, err error) {
	fsys := fstest.MapFS{name: {Data: []byte(text)}}
	files, err := load(fsys, dialect.SQLite, &Options{})
	if err != nil {
		return nil, err
	}
	d := files[0].data
	opened, err := d.open()
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	rows := d.format(opened.Reader, d)
	for {
		r, err := rows.next()
		if err == io.EOF {
			return lines, nil
		}
		if err != nil {
			return lines, err
		}
		var fields []string
		for i, c := range r.columns {
			fields = append(fields, fmt.Sprintf("%s=%v", c, r.values[i]))
		}
		lines = append(lines, fmt.Sprintf("%d %s", r.line, strings.Join(fields, " ")))
	}
}

func TestRowsOfEachFormat(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, file, text, want string }{
		{"csv", "1_a.csv", "a,b\n1,\"x, y\"\n\\N,\n", "2 a=1 b=x, y|3 a=<nil> b="},
		{"csv with headers, a mark and CRLF", "1_a.csv", "\ufeff# table: b\r\n# null: -\r\na,b\r\n1,-\r\n", "4 a=1 b=<nil>"},
		{"csv of two lines a value", "1_a.csv", "a,b\n1,\"x\ny\"\n2,z\n", "2 a=1 b=x\ny|4 a=2 b=z"},
		{"csv without rows", "1_a.csv", "a,b\n", ""},
		{"an empty list behind headers", "1_a.json", "# table: b\r\n [] \n", ""},
		{"json lines", "1_a.jsonl", "{\"a\": 12345678901234567890, \"b\": null}\n\n{\"b\": true, \"c\": {\"d\": [1, 2]}}", "1 a=12345678901234567890 b=<nil>|3 b=true c={\"d\":[1,2]}"},
		{"a list", "1_a.json", "[{\"a\": 1.50}, {\"a\": \"x\"}]", "0 a=1.50|0 a=x"},
		{"an empty list", "1_a.json", "[]", ""},
	} {
		got, err := all(tt.file, tt.text)
		if err != nil || strings.Join(got, "|") != tt.want {
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}
	}
}

func TestBadDataIsToldWithItsLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, file, text, says string }{
		{"too many values", "1_a.csv", "# table: x\na\n1\n1,2\n", "line 4, column"},
		{"an open quote", "1_a.csv", "a\n\"x\n", "line"},
		{"a column without a name", "1_a.csv", "a,\n1,2\n", "column 2 has no name"},
		{"two objects a line", "1_a.jsonl", "{\"a\":1} {\"a\":2}\n", "line 1: there is more than one object"},
		{"no object", "1_a.jsonl", "{\"a\":1}\n[1]\n", "line 2: a row is an object"},
		{"an object in a .json", "1_a.json", "{\"a\":1}", "one list of objects"},
		{"a list that ends", "1_a.json", "[{\"a\":1}", "behind object 1"},
		{"an object that ends in a list", "1_a.json", "[{\"a\":1}, {\"a\":", "object 2"},
		{"a line that ends", "1_a.jsonl", "{\"a\":1}\n{\"a\": 2", "line 2"},
		{"an empty .json", "1_a.json", "", "one list of objects"},
		{"text behind a list", "1_a.json", "[{\"a\":1}]\n{\"a\":2}", "behind the list, which ends with object 1"},
		{"a second list", "1_a.json", "[{\"a\":1}] [{\"a\":2}]", "behind the list"},
		{"a list that is closed twice", "1_a.json", "[{\"a\":1}]]", "behind the list"},
		{"a .csv of no bytes", "1_a.csv", "", "there are no rows"},
		{"a .jsonl of no bytes", "1_a.jsonl", "", "there are no rows"},
		{"headers alone", "1_a.csv", "# table: b", "there are no rows"},
		{"space alone", "1_a.ndjson", "\ufeff# table: b\r\n\r\n \t\n", "there are no rows"},
		{"capitals", "1_a.CSV", "a\n1\n", "1_a.CSV: the extension isn't .csv"},
		{"a header that isn't one", "1_a.csv", "# keys: a\na\n1\n", "is no header"},
		{"no version", "a.csv", "a\n1\n", "VERSION_TABLE.csv"},
	} {
		if _, err := all(tt.file, tt.text); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestFoldersAreEnvironments(t *testing.T) {
	t.Parallel()
	load := func(pairs ...string) ([]*file, error) {
		fsys := fstest.MapFS{}
		for i := 0; i < len(pairs); i += 2 {
			fsys[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
		}
		return load(fsys, dialect.SQLite, &Options{})
	}
	files, err := load("2_a.sql", "SELECT 1;", "test/1_b.csv", "a\n")
	if err != nil || len(files) != 2 || files[0].path != "test/1_b.csv" || strings.Join(files[0].env(), " ") != "test" || files[1].env() != nil {
		t.Fatalf("%+v, %v", files, err)
	}
	if _, err := load("1_a.sql", "SELECT 1;", "test/1_b.csv", "a\n"); err == nil || !strings.Contains(err.Error(), "are the same version") {
		t.Errorf("%v", err)
	}
	if _, err := load("test/1_b.csv", "# env: production\na\n"); err == nil || !strings.Contains(err.Error(), "in the folder of the environment test") {
		t.Errorf("%v", err)
	}
}

// To open a pipe would wait for ever.
func TestWhatIsNoFileIsAnError(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{"1_a.csv": {Mode: fs.ModeNamedPipe}, "test/2_b.ndjson": {Mode: fs.ModeSymlink, Data: []byte("../1_a.csv")}}
	_, err := load(fsys, dialect.SQLite, &Options{})
	for name := range fsys {
		if err == nil || !strings.Contains(err.Error(), name+": it isn't a file") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is in no place where seeds are looked for must not be left out silently.
func TestFoldersAreReadThroughLinksAndOneLevelDeep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, folder := range []string{"shared", "seeds/test", "deep/test/more", "hidden/test/.git"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"shared/1_a.csv": "a\n1\n", "seeds/test/2_b.csv": "a\n1\n", "deep/test/more/1_a.csv": "a\n1\n", "hidden/test/.git/1_a.csv": "a\n1\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"seeds/development": "../shared", "deep/staging": "../nowhere", "hidden/3_c.csv": "../shared/1_a.csv"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	in := func(folder string) ([]*file, error) {
		return load(os.DirFS(filepath.Join(dir, folder)), dialect.SQLite, &Options{})
	}
	files, err := in("seeds")
	if err != nil || len(files) != 2 || files[0].path != "development/1_a.csv" || strings.Join(files[0].env(), " ") != "development" {
		t.Errorf("%+v, %v", files, err)
	}
	if files, err := in("hidden"); err != nil || len(files) != 1 {
		t.Errorf("%+v, %v", files, err)
	}
	_, err = in("deep")
	for _, says := range []string{"test/more is a folder in that of an environment", "follow the link staging"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}

// The ledgers of all users have these sums.
func TestTheChecksumIsThatOfTheTextWithPlainLineEnds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, hashed string }{
		{"a,b\n1,2\n", "a,b\n1,2\n"},
		{"\ufeff# table: x\r\na\r\n1\r\n", "# table: x\na\n1\n"},
		{"a\r\r\nb\rc\r\n\r", "a\r\nb\rc\n"},
	} {
		want := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(tt.hashed)))
		files, err := load(fstest.MapFS{"1_x.csv": {Data: []byte(tt.text)}}, dialect.SQLite, &Options{})
		if err != nil || files[0].data.checksum != want {
			t.Errorf("%q: %v", tt.text, err)
		}
		bytewise := &checksum{hash: sha256.New()}
		for _, b := range []byte(strings.TrimPrefix(tt.text, "\ufeff")) {
			if n, err := bytewise.Write([]byte{b}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
		if bytewise.String() != want {
			t.Errorf("%q by bytes: %s", tt.text, bytewise)
		}
	}
}

func FuzzRows(f *testing.F) {
	f.Add(".csv", "a,b\n1,\"x\ny\"\n")
	f.Add(".jsonl", "{\"a\": 1}\n{\"b\": [null]}\n")
	f.Add(".json", "[{\"a\": {\"b\": 1}}]")
	f.Fuzz(func(t *testing.T, ext, text string) {
		make, ok := formats[ext]
		if !ok {
			return
		}
		rows := make(bufio.NewReader(strings.NewReader(text)), &data{null: `\N`})
		for n := 0; ; n++ {
			r, err := rows.next()
			if err != nil {
				return
			}
			if len(r.columns) != len(r.values) || len(r.columns) == 0 {
				t.Fatalf("row %d has %d columns and %d values", n, len(r.columns), len(r.values))
			}
			if n > len(text) {
				t.Fatal("more rows than bytes")
			}
		}
	})
}
